"""EPCIS XML as JSON-LD, for tests alone: the equal-sets and half of the hash vectors exist only in XML.

The product reads JSON-LD. This says an XML event in the words of JSON-LD and leaves all normalising to the product.
"""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

EVENTS = {"ObjectEvent", "AggregationEvent", "AssociationEvent", "TransactionEvent", "TransformationEvent"}
WRAPPERS = {"extension", "baseExtension"}
REFERENCES = {"bizTransactionList": "bizTransaction", "sourceList": "source", "destinationList": "destination"}
LISTS = {"epcList", "inputEPCList", "outputEPCList", "childEPCs", "correctiveEventIDs"}
QUANTITIES = {"quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList"}
NUMBERED = "n{}"


def has_extension_lists(path: Path) -> bool:
    """Whether a field of no standard name ends in `List`: XML holds its members otherwise than JSON, and hashes so."""
    root = ET.parse(path).getroot()  # noqa: S314  # our own test input
    return any(e.tag.startswith("{") and e.tag.endswith("List") for e in root.iter())


def document(path: Path) -> dict[str, Any]:
    """Return an EPCISDocument in JSON-LD with the events of an XML file, and the fields it says to ignore."""
    spaces: dict[str, str] = {}
    for _, (prefix, space) in ET.iterparse(path, events=["start-ns"]):  # noqa: S314  # our own test input
        spaces.setdefault(prefix, space)
    reader = Reader(spaces)
    root = ET.parse(path).getroot()  # noqa: S314  # our own test input
    events = [reader.event(e) for e in root.iter() if e.tag in EVENTS]
    built: dict[str, Any] = {"type": "EPCISDocument", "epcisBody": {"eventList": events}}
    for element in root.iter():
        if element.tag.endswith("}ignoreFields"):
            built["x:ignoreFields"] = [reader.name(child.tag) for child in element]
    built["@context"] = reader.context()
    return built


class Reader:
    def __init__(self, spaces: dict[str, str]) -> None:
        self.prefixes = {space: NUMBERED.format(i) for i, space in enumerate(sorted(set(spaces.values())))}
        self.spaces = {prefix: space for prefix, space in spaces.items() if prefix in {"gs1", "cbv"}}

    def context(self) -> list[Any]:
        official = "https://ref.gs1.org/standards/epcis/epcis-context.jsonld"
        return [official, {**{prefix: space for space, prefix in self.prefixes.items()}, **self.spaces}]

    def name(self, tag: str) -> str:
        if not tag.startswith("{"):
            return tag
        space, local = tag[1:].split("}")
        return f"{self.prefixes.setdefault(space, NUMBERED.format(len(self.prefixes)))}:{local}"

    def event(self, element: ET.Element) -> dict[str, Any]:
        built: dict[str, Any] = {"type": element.tag}
        for child in self.unwrapped(element):
            self.put(built, self.name(child.tag), self.field(child))
        return built

    def unwrapped(self, element: ET.Element) -> list[ET.Element]:
        found = []
        for child in element:
            found += self.unwrapped(child) if child.tag in WRAPPERS else [child]
        return found

    def put(self, built: dict[str, Any], name: str, value: Any) -> None:
        if name in built:
            held = built[name]
            built[name] = [*(held if isinstance(held, list) else [held]), value]
        else:
            built[name] = value

    def field(self, element: ET.Element) -> Any:
        tag = element.tag
        if tag in LISTS:
            return [child.text or "" for child in element]
        if tag in QUANTITIES:
            return [self.extension(child) for child in element]
        if tag in REFERENCES:
            return [{"type": child.get("type"), REFERENCES[tag]: child.text or ""} for child in element]
        if tag == "sensorElementList":
            return [self.extension(child) for child in element]
        if tag == "persistentDisposition":
            built: dict[str, Any] = {}
            for child in element:
                self.put(built, child.tag, child.text)
            return built
        return self.extension(element)

    def extension(self, element: ET.Element) -> Any:
        children = self.unwrapped(element)
        if not len(children) and not element.attrib:
            return element.text or ""
        built: dict[str, Any] = {self.name(key): value for key, value in element.attrib.items()}
        for child in children:
            self.put(built, self.name(child.tag), self.extension(child))
        return built
