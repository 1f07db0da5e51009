"""Clock, quantities, evidence files and running numbers."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.clock import ShiftedClock, SteadyClock, TimeError, format_time, offset_text, parse_time
from ledger.kernel.database import Database
from ledger.kernel.errors import IdentifierError, QuantityError
from ledger.kernel.files import FileStore, MissingFileError, ni_uri, parse_ni
from ledger.kernel.quantities import divide_mass, format_kilograms, format_yuan, grams, grams_from_kilograms
from ledger.kernel.sequences import next_number

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # the strategy adds the zone


@given(MOMENTS)
def test_a_time_reads_back_to_the_millisecond(moment: datetime) -> None:
    again = parse_time(format_time(moment))
    assert again == moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert format_time(again) == format_time(moment)


def test_a_time_from_another_zone_is_the_same_moment() -> None:
    assert format_time(datetime(2026, 4, 18, 11, 5, tzinfo=timezone(timedelta(hours=8)))) == "2026-04-18T03:05:00.000Z"
    assert offset_text(datetime(2026, 4, 18, tzinfo=UTC), "Asia/Shanghai") == "+08:00"


@pytest.mark.parametrize("text", ["", "yesterday", "2026-04-18T03:05:00", "2026-13-01T00:00:00Z"])
def test_a_time_without_zone_or_sense_is_refused(text: str) -> None:
    with pytest.raises(TimeError):
        parse_time(text)


def test_a_shifted_clock_is_shared_through_its_file(tmp_path: Path) -> None:
    one, other = ShiftedClock(tmp_path / "clock.json"), ShiftedClock(tmp_path / "clock.json")
    assert one.is_still_real
    moment = datetime(2026, 4, 18, tzinfo=UTC)
    one.move_to(moment)
    assert moment <= other.now() < moment + timedelta(minutes=1)


@given(st.integers(0, 100_000_000), st.dictionaries(st.sampled_from("ABCDE"), st.floats(0, 1e6), min_size=1))
def test_a_mass_shared_out_adds_up_to_the_gram(whole: int, weights: dict[str, float]) -> None:
    if sum(weights.values()) <= 0:
        with pytest.raises(QuantityError):
            divide_mass(whole, weights)
        return
    shares = divide_mass(whole, weights)
    assert sum(shares.values()) == whole
    assert all(share >= 0 for share in shares.values())


@pytest.mark.parametrize(("typed", "mass_g"), [("18.4", 18400), ("0", 0), (" 2.31 ", 2310), ("11.6", 11600), (3, 3000)])
def test_kilograms_as_people_type_them(typed: str, mass_g: int) -> None:
    assert grams_from_kilograms(typed) == mass_g
    assert grams_from_kilograms(format_kilograms(mass_g)) == mass_g


@pytest.mark.parametrize("typed", ["", "heavy", "-1", "NaN", "Infinity", "1e99"])
def test_what_is_no_mass_is_refused(typed: str) -> None:
    with pytest.raises(QuantityError):
        grams_from_kilograms(typed)


@pytest.mark.parametrize("value", [-1, 100_000_001, True, 1.5])
def test_grams_are_whole_and_within_reason(value: int) -> None:
    with pytest.raises(QuantityError):
        grams(value)


def test_money_shows_two_decimals() -> None:
    assert [format_yuan(fen) for fen in (0, 5, 4990, 123456)] == ["0.00", "0.05", "49.90", "1234.56"]


def test_a_file_is_kept_under_its_hash_and_an_altered_one_is_missed(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    name = store.put(b"a photograph")
    assert store.put(b"a photograph") == name
    assert store.get(name) == b"a photograph"
    assert ni_uri(parse_ni(name)) == name
    kept = next(path for path in tmp_path.rglob("*") if path.is_file())
    kept.write_bytes(b"a retouched photograph")
    with pytest.raises(MissingFileError, match="altered"):
        store.get(name)
    store.erase(name)
    with pytest.raises(MissingFileError, match="not kept"):
        store.get(name)


@pytest.mark.parametrize("name", ["", "ni:///sha-256;short", "../../etc/passwd", "ni:///sha-1;" + "A" * 43])
def test_a_name_that_is_no_hash_reaches_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(IdentifierError):
        FileStore(tmp_path).get(name)


def test_numbers_run_and_a_rolled_back_one_is_given_again(db: Database) -> None:
    with db.write() as session:
        assert [next_number(session, "PO"), next_number(session, "PO"), next_number(session, "R")] == [1, 2, 1]

    def take_back() -> None:
        with db.write() as session:
            assert next_number(session, "PO") == 3
            raise RuntimeError("the order was not raised after all")

    with pytest.raises(RuntimeError):
        take_back()
    with db.write() as session:
        assert next_number(session, "PO") == 3


def test_a_steady_clock_goes_on_evenly_until_it_is_set() -> None:
    class Wall:
        told = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)

        def now(self) -> datetime:
            return self.told

    wall, ticks = Wall(), [100.0]
    steady = SteadyClock(wall, monotonic=lambda: ticks[0])
    wall.told -= timedelta(hours=1)
    ticks[0] += 2.5
    assert steady.now() == datetime(2026, 11, 22, 6, 0, 2, 500_000, tzinfo=UTC)
    assert steady.set()
    assert steady.now() == wall.told
    ticks[0] += 0.25
    assert not steady.set(), "that much any clock drifts or is corrected by"
