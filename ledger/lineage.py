"""What an event names, and in which role. Pure: JSON objects in, identifiers out."""

from collections.abc import Iterator, Mapping
from enum import IntFlag
from typing import Any, Final


class Role(IntFlag):
    """How an event names an identifier."""

    OBJECT = 1
    PARENT = 2
    CHILD = 4
    INPUT = 8
    OUTPUT = 16
    DOCUMENT = 32
    PLACE = 64
    SOURCE = 128
    DESTINATION = 256
    DEVICE = 512
    REFERENCE = 1024


THINGS: Final = Role.OBJECT | Role.PARENT | Role.CHILD | Role.INPUT | Role.OUTPUT
"""The roles of what an event is about (the EPCIS *what*)."""

_LISTS: Final = (
    ("epcList", None, Role.OBJECT),
    ("quantityList", "epcClass", Role.OBJECT),
    ("childEPCs", None, Role.CHILD),
    ("childQuantityList", "epcClass", Role.CHILD),
    ("inputEPCList", None, Role.INPUT),
    ("inputQuantityList", "epcClass", Role.INPUT),
    ("outputEPCList", None, Role.OUTPUT),
    ("outputQuantityList", "epcClass", Role.OUTPUT),
    ("bizTransactionList", "bizTransaction", Role.DOCUMENT),
    ("sourceList", "source", Role.SOURCE),
    ("destinationList", "destination", Role.DESTINATION),
)
_NOT_A_REFERENCE: Final = frozenset({"gy:recorder", "gy:sentence", "gy:evidence", "gy:digests"})


def names(event: Mapping[str, Any]) -> dict[str, Role]:
    """Return every identifier that an event names, with its roles. `event` is its JSON-LD form."""
    found: dict[str, Role] = {}
    for identifier, role in _named(event):
        found[identifier] = found.get(identifier, Role(0)) | role
    return found


def _named(event: Mapping[str, Any]) -> Iterator[tuple[str, Role]]:
    for field, key, role in _LISTS:
        for item in event.get(field, ()):
            yield (item if key is None else item[key]), role
    if "parentID" in event:
        yield event["parentID"], Role.PARENT
    for field in ("readPoint", "bizLocation"):
        if field in event:
            yield event[field]["id"], Role.PLACE
    if "transformationID" in event:
        yield event["transformationID"], Role.DOCUMENT
    certificates = event.get("certificationInfo", ())
    for identifier in (certificates,) if isinstance(certificates, str) else certificates:
        yield identifier, Role.DOCUMENT
    for element in event.get("sensorElementList", ()):
        for part in (element.get("sensorMetadata", {}), *element.get("sensorReport", ())):
            if "deviceID" in part:
                yield part["deviceID"], Role.DEVICE
    for identifier in event.get("errorDeclaration", {}).get("correctiveEventIDs", ()):
        yield identifier, Role.REFERENCE
    for key, value in event.items():
        if key == "ilmd" or (":" in key and key not in _NOT_A_REFERENCE):
            for identifier in _references(value):
                yield identifier, Role.REFERENCE


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.startswith(("https://", "http://", "urn:uuid:")):
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _references(item)
