"""The states of pick orders, lots and codes, and nothing else."""

from enum import StrEnum
from typing import Final


class OrderState(StrEnum):
    """Where a pick order stands."""

    RAISED = "raised"
    PICKING = "picking"
    FILLED = "filled"
    SHORT = "short"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"


OPEN_STATES: Final = (OrderState.RAISED, OrderState.PICKING)


class LotState(StrEnum):
    """Where a harvest lot stands."""

    CREATED = "created"
    RECEIVED = "received"
    COOLED = "cooled"
    CONSUMED = "consumed"
    HELD = "held"


class CodeState(StrEnum):
    """What a serial is. One that was never printed is unknown."""

    PRINTED = "printed"
    ACTIVE = "active"
    VOID = "void"
