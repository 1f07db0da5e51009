"""Real weather, read with its units and its holes."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm_sensors.errors import UnreadableFileError
from farm_sensors.replay import beat_of, day_of, onto, read, relative_humidity, warmest_day

AGRIMET = "YEAR,MONTH,DAY,HOUR,OB,TP,WS,SI\n"
OWN = "time,quantity,value,unit\n"


@pytest.fixture
def rows(shared):
    return read(shared / "sensors" / "refet" / "FALN_Agrimet_hourly_raw_2015.csv")


@pytest.mark.shared
def test_the_real_year_is_read_in_our_units(rows):
    assert len(rows) == 8758
    first = {name: (value, unit) for name, value, unit in rows[0].values}
    assert rows[0].time == datetime(2015, 1, 1, tzinfo=UTC)
    assert first["air-temperature"] == (-13.93, "Cel")
    assert first["wind-speed"] == (0.05, "m/s")
    assert first["irradiance"] == (0.0, "W/m2")
    assert first["air-humidity"][1] == "%RH"


@pytest.mark.shared
def test_our_units_agree_with_the_reference_program_on_every_hour(rows, shared):
    """REF-ET printed what it read in SI units: two digits behind the point at most, whole W/m2."""
    printed = {}
    for line in (shared / "sensors" / "refet" / "FALN_Agrimet_hourly_raw_2015.out").read_text().splitlines():
        cells = line.split()
        if len(cells) == 13 and cells[2] == "2015" and cells[0].isdigit():
            at = datetime(2015, int(cells[0]), int(cells[1]), int(cells[4]) // 100, tzinfo=UTC)
            printed[at] = [float(cells[i]) for i in (5, 7, 8)]
    assert len(printed) == len(rows)
    for row in rows:
        ours = {name: value for name, value, _ in row.values}
        celsius, watts, wind = printed[row.time]
        assert ours["air-temperature"] == pytest.approx(celsius, abs=0.06)
        assert ours["irradiance"] == pytest.approx(watts, abs=1)
        assert ours["wind-speed"] == pytest.approx(wind, abs=0.013)


@pytest.mark.shared
def test_a_complete_day_is_chosen_and_an_incomplete_one_is_refused(rows):
    assert len(day_of(rows)) == 24
    assert beat_of(day_of(rows)) == 3600
    holes = [day for day in {row.time.date() for row in rows} if sum(r.time.date() == day for r in rows) < 24]
    with pytest.raises(UnreadableFileError, match="of 24 rows; choose a complete day"):
        day_of(rows, holes[0])
    with pytest.raises(UnreadableFileError, match="runs from 2015-01-01"):
        day_of(rows, date(2016, 7, 1))


@pytest.mark.shared
def test_the_warmest_day_is_complete_and_in_summer(rows):
    day = warmest_day(rows)
    assert len(day) == 24
    assert day[0].time.month in (6, 7, 8)


@pytest.mark.shared
def test_a_day_moves_onto_another_midnight(rows):
    start = datetime(2026, 4, 17, 16, 0, tzinfo=UTC)
    moved = onto(day_of(rows), start)
    assert moved[0].time == start
    assert moved[-1].time == start + timedelta(hours=23)


def test_our_own_form_is_read_and_converted(tmp_path):
    path = tmp_path / "day.csv"
    path.write_text(
        OWN
        + "2026-04-18T08:00:00+08:00,air-temperature,293.15,K\n\n"
        + "2026-04-18T00:00:00Z,rain,0.2,mm\n2026-04-17T23:00:00Z,rain,0,mm\n"
    )
    first, second = read(path)
    assert first.values == (("rain", 0.0, "mm"),)
    assert second.values == (("air-temperature", 20.0, "Cel"), ("rain", 0.2, "mm"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "first line is neither"),
        ("a,b,c\n1,2,3\n", "first line is neither"),
        (AGRIMET, "holds no readings"),
        (AGRIMET + "2015,01,01,00,NO RECORD,0.26,0.11,0.00\n", "line 2"),
        (AGRIMET + "2015,01,01,00,6.92\n", "line 2"),
        (AGRIMET + "2015,02,30,00,6.92,0.26,0.11,0.00\n", "line 2"),
        (AGRIMET + "2015,01,01,00,nan,0.26,0.11,0.00\n", "no number"),
        (OWN + "2026-04-18T00:00:00Z,air-temperature,20,degF\n", "line 2: air-temperature came in 'degF'"),
        (OWN + "2026-04-18T00:00:00Z,brix,20,%\n", "line 2: unknown quantity 'brix'"),
        (OWN + "2026-04-18 00:00,rain,0,mm\n", "no time zone"),
        (OWN + "2026-04-18T00:00:00Z,rain,much,mm\n", "line 2"),
        (OWN + "2026-04-18T00:00:00Z,rain,inf,mm\n", "no number"),
        (OWN + "2026-04-18T00:00:00Z,rain\n", "2 columns"),
    ],
)
def test_a_file_that_cannot_be_read_names_the_line(tmp_path, text, says):
    path = tmp_path / "day.csv"
    path.write_text(text)
    with pytest.raises(UnreadableFileError, match=says):
        read(path)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path):
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        read(tmp_path / "none.csv")
    (tmp_path / "photo.csv").write_bytes(b"\xff\xd8\xff\xe0" * 10)
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        read(tmp_path / "photo.csv")


def test_humidity_from_dew_point_is_that_of_fao_56():
    """FAO-56 table 2.3: e0(20) = 2.338 kPa, e0(10) = 1.228 kPa."""
    assert relative_humidity(20, 10) == pytest.approx(100 * 1.228 / 2.338, abs=0.05)
    assert relative_humidity(20, 20) == 100


@given(st.floats(-30, 45), st.floats(0, 40))
def test_drier_air_has_lower_humidity(air, spread):
    assert 0 < relative_humidity(air, air - spread) <= 100
    assert relative_humidity(air, air - spread - 1) < relative_humidity(air, air - spread)
