"""Every table of every package: importing this module is what fills `SQLModel.metadata`."""

import importlib
import importlib.util
from typing import Final

from sqlmodel import SQLModel

_ELSEWHERE: Final = ("ledger.kernel.sequences", "api.scans")
_PACKAGES: Final = ("ledger", "contracts", "farm_sensors", "orders", "grading", "api")

for _module in _ELSEWHERE:
    importlib.import_module(_module)
for _package in _PACKAGES:
    if importlib.util.find_spec(f"{_package}.models") is not None:
        importlib.import_module(f"{_package}.models")

metadata: Final = SQLModel.metadata
