"""The interface as OpenAPI 3.1: `python -m api.openapi > api/openapi.json` after every change of it."""

import json
import tempfile
from pathlib import Path
from typing import Any

from api.app import create_app
from ledger.kernel.settings import Settings


def document() -> dict[str, Any]:
    """Return the document the application serves at `/openapi.json`."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(home=Path(folder)))
        app.state.runtime.close()
        return app.openapi()


def text() -> str:
    """Return the document as it is committed: one member a line, so that a change shows in a diff."""
    return json.dumps(document(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(text(), end="")  # noqa: T201  # what this module is for
