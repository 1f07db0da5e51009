"""What a history of the log says to the person who eats the fruit. Pure: entries and evidence in, a story out.

Every number a page shows is a `Fact` (see `api.facts`), so that the browser can find it again in bytes
it has verified itself: a server that shows other numbers than it can prove is caught.
"""

from collections.abc import Iterable, Iterator

from api.evidence import Files, crop_names, fruit, photo
from api.facts import Fact
from api.journey import Tale, link_of, steps
from api.story import Contradiction, Correction, Entry, Fruit, Story, Told
from ledger.vocabulary import Disposition, PartyRole

_ALARMING = frozenset({"warn", "alarm", "stop"})


def read(entries: Iterable[Entry]) -> tuple[Told, ...]:
    """Return entries as the story reads them, in their order."""
    return tuple(Told(each.index, each.data, each.event) for each in entries)


def tell(
    identifier: str, told: tuple[Told, ...], *, files: Files, boundary: str | None = None, is_cut: bool = False
) -> Story:
    """Return the story of a pack, a lot or a plot. `boundary` is the plot's outline as GeoJSON, where public."""
    tale = Tale(identifier, told, files, boundary)
    link = link_of(identifier)
    keys = link.values if link else {}
    graded_link = link_of(tale.graded_lot)
    picked = next(iter(tale.all("picked")), None)
    way = steps(tale)
    graded = next((step for step in way if step.kind == "graded"), None)
    packed = tale.packed
    return Story(
        identifier=identifier,
        kind="pack" if "21" in keys else ("lot" if "10" in keys else "other"),
        path=link.path() if link else "/",
        serial=keys.get("21"),
        lot=graded_link.values.get("10") if graded_link else None,
        steps=way,
        told=told,
        tier=(tale.activated.fact("ilmd", "gy:tier") if tale.activated else None)
        or (graded.fact("tier") if graded else None),
        variety=_first(tale, ("graded", "picked", "plot_registered"), "gy:variety"),
        crop=_first(tale, ("plot_registered",), "gy:crop"),
        net=packed.fact("childQuantityList", 0, "quantity") if packed else None,
        fruit_count=packed.fact("gy:pack", "gy:fruits") if packed else None,
        best_before=tale.activated.fact("ilmd", "cbvmda:bestBeforeDate") if tale.activated else None,
        owner=_owner(picked) if picked else None,
        fruits=_fruits(tale),
        pack_photo=photo(files, packed.text("gy:evidence", 0)) if packed else None,
        recall=_recall(tale),
        is_voided=any(identifier in t.texts("epcList") for t in tale.all("code_voided")),
        alarm=_alarm(tale),
        contradictions=tuple(_contradictions(tale)),
        corrections=tuple(_corrections(tale)),
        is_cut=is_cut,
    )


def public_names(story: Story, files: Files) -> frozenset[str]:
    """Return the `ni:` names a stranger may fetch: what the entries of a pack or lot name for everyone.

    Photographs of the pack and its fruits, fruit records, the readings behind windows, cooling and the
    journey, the certificate, a recall's notice. Scale tickets, positions, frames of whole batches and
    what people judged by hand are named in the log too, and stay with the cooperative.
    """
    names: set[str] = set()
    for each in story.told:
        match each.name:
            case "packed" if each.get("parentID") == story.identifier:
                records = each.texts("gy:pack", "gy:records")
                names.update(each.texts("gy:evidence"), records, crop_names(files, records))
            case "window_closed" | "pre_cooled" | "delivered":
                raw = (row.get("sensorMetadata", {}).get("rawData") for row in each.rows("sensorElementList"))
                names.update(name for name in raw if isinstance(name, str))
            case "certificate_issued":
                names.update(filter(None, [each.text("gy:certificate", "gy:document")]))
            case "recalled":
                names.update(filter(None, [each.text("gy:recall", "gy:notice")]))
    return frozenset(names)


def _first(tale: Tale, sentences: Iterable[str], key: str) -> Fact | None:
    return next((fact for name in sentences for t in tale.all(name) if (fact := t.fact("ilmd", key))), None)


def _owner(picked: Told) -> str | None:
    return next((str(row["source"]) for row in picked.rows("sourceList") if row.get("type") == PartyRole.OWNING), None)


def _fruits(tale: Tale) -> tuple[Fruit, ...]:
    if tale.packed is None:
        return ()
    names = tale.packed.texts("gy:pack", "gy:records")
    found = (fruit(tale.files, number, name) for number, name in enumerate(names, start=1))
    return tuple(each for each in found if each is not None)


def _recall(tale: Tale) -> Told | None:
    """Return the recall in force that reaches this thing: it names it, or a lot it came from."""
    reached = {tale.subject, tale.graded_lot}
    reached.update(t.text("quantityList", 0, "epcClass") for t in tale.all("picked"))
    for each in reversed(tale.all("recalled")):
        named = {*each.texts("epcList"), *(row.get("epcClass") for row in each.rows("quantityList"))}
        if named & reached:
            return each if Disposition.RECALLED in each.texts("persistentDisposition", "set") else None
    return None


def _alarm(tale: Tale) -> Told | None:
    """Return the last word of the scan rules on this code, where it is a warning."""
    alarms = [t for t in tale.all("scan_alarm") if tale.subject in t.texts("epcList")]
    return alarms[-1] if alarms and alarms[-1].text("gy:alarm", "gy:level") in _ALARMING else None


def _contradictions(tale: Tale) -> Iterator[Contradiction]:
    for received in tale.all("received"):
        gap, allowed = received.whole("gy:receipt", "gy:differenceG"), received.whole("gy:receipt", "gy:allowedG")
        picked = next((t for t in tale.all("picked") if t.event_id in received.texts("gy:confirms")), None)
        if picked and gap is not None and allowed is not None and abs(gap) > allowed:
            yield Contradiction(
                "weight",
                picked.fact("quantityList", 0, "quantity"),
                received.fact("quantityList", 0, "quantity"),
                received.fact("gy:receipt", "gy:differenceG"),
                picked.fact("eventTime"),
                received.fact("eventTime"),
            )
    for delivered in tale.all("delivered"):
        if delivered.get("disposition") == Disposition.MISMATCH_QUANTITY:
            loaded = next((t for t in tale.all("loaded") if t.get("parentID") == delivered.get("parentID")), None)
            yield Contradiction(
                "packs",
                loaded.fact("gy:load", "gy:packs") if loaded else None,
                delivered.fact("gy:leg", "gy:packsSeen"),
                None,
                loaded.fact("eventTime") if loaded else None,
                delivered.fact("eventTime"),
            )


def _corrections(tale: Tale) -> Iterator[Correction]:
    for each in tale.told:
        if each.is_declaration:
            ids = each.texts("errorDeclaration", "correctiveEventIDs")
            yield Correction(each, next((t for t in tale.told if t.event_id in ids), None))
