"""What is told of a line reads in both languages."""

import re

import pytest

from api import line_alarms
from api.errors import AccessError
from api.line_delivery import Standing
from grading.errors import GradingError
from ledger.kernel.errors import OriginError

OWN = {"rehearsal", "unexpected"}
"""Words of the delivery itself, no errors of the house."""


def family(kind: type[OriginError]) -> set[str]:
    return {kind.code}.union(*map(family, kind.__subclasses__()))


def test_every_refusal_that_is_translated_is_one_that_exists() -> None:
    assert set(line_alarms.REFUSALS_ZH) - OWN <= family(GradingError) | family(AccessError)


@pytest.mark.parametrize("code", sorted(line_alarms.REFUSALS_ZH))
def test_a_refused_delivery_is_told_in_chinese_too(code: str) -> None:
    standing = Standing("refused", 3, None, (code, "it was refused in English"))
    (alarm,) = line_alarms.delivery(standing, 0.0, [])
    assert "it was refused in English" in alarm.text.en
    assert re.findall(r"[A-Za-z_]+", alarm.text.zh) == [code]


def test_a_refusal_nobody_translated_is_told_as_it_came() -> None:
    (alarm,) = line_alarms.delivery(Standing("refused", 3, None, ("new", "something new")), 0.0, [])
    assert "something new" in alarm.text.zh


@pytest.mark.parametrize("reason", ["console", "plc", "mqtt"])
def test_who_pressed_the_emergency_is_told_in_words(reason: str) -> None:
    (alarm,) = line_alarms.emergency(reason)
    assert not re.search(r"[a-z]", alarm.text.zh)
    assert not alarm.text.en.endswith(f": {reason}")


def test_a_persons_reason_stays_as_it_is() -> None:
    (alarm,) = line_alarms.emergency("hand on the belt")
    assert (alarm.text.en[-16:], alarm.text.zh[-16:]) == ("hand on the belt", "hand on the belt")
