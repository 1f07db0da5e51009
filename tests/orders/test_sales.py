from datetime import timedelta

import pytest
from sqlmodel import select

from orders import listings, sales
from orders.allocation import LineState
from orders.models import InboxMessage, SalesLine
from tests.orders.conftest import ZONE, Farm


def _states(outcome: sales.Outcome) -> list[LineState]:
    return [line.state for line in outcome.lines]


def test_paid_lines_are_held(farm: Farm) -> None:
    show = farm.open({"A": 5, "B": 5})
    outcome = farm.take(farm.paid(show, ("A", 2), ("B", 1)))
    assert _states(outcome) == [LineState.HELD, LineState.HELD]
    assert not outcome.is_duplicate
    assert farm.stock(show) == {"A": (5, 2), "B": (5, 1)}


def test_same_message_again_changes_nothing_and_gets_the_first_outcome(farm: Farm) -> None:
    show = farm.open({"A": 5})
    message = farm.paid(show, ("A", 2))
    first, again = farm.take(message), farm.take(message)
    assert again.is_duplicate
    assert again.lines == first.lines
    assert farm.stock(show) == {"A": (5, 2)}


def test_same_order_under_another_message_id_changes_nothing(farm: Farm) -> None:
    show = farm.open({"A": 5})
    farm.take(farm.paid(show, ("A", 2), order="S-1"))
    again = farm.take(farm.paid(show, ("A", 2), order="S-1"))
    assert [(line.state, line.is_duplicate) for line in again.lines] == [(LineState.HELD, True)]
    assert farm.stock(show) == {"A": (5, 2)}


def test_more_than_is_left_is_sold_out_and_kept(farm: Farm) -> None:
    show = farm.open({"A": 3})
    farm.take(farm.paid(show, ("A", 2)))
    outcome = farm.take(farm.paid(show, ("A", 2), order="S-late"))
    assert _states(outcome) == [LineState.SOLD_OUT]
    assert farm.stock(show) == {"A": (3, 2)}
    with farm.db.read() as session:
        assert [line.order_ref for line in sales.exceptions(session, show.id)] == ["S-late"]


def test_smaller_order_still_fits_after_a_larger_one_did_not(farm: Farm) -> None:
    show = farm.open({"A": 3})
    farm.take(farm.paid(show, ("A", 5)))
    assert _states(farm.take(farm.paid(show, ("A", 3)))) == [LineState.HELD]


def test_two_lines_of_one_order_are_not_judged_by_the_same_stock(farm: Farm) -> None:
    show = farm.open({"A": 3})
    assert _states(farm.take(farm.paid(show, ("A", 2), ("A", 2)))) == [LineState.HELD, LineState.SOLD_OUT]


def test_unlisted_tier_is_kept_as_unknown(farm: Farm) -> None:
    show = farm.open({"A": 3})
    assert _states(farm.take(farm.paid(show, ("Z", 1)))) == [LineState.UNKNOWN_TIER]
    with farm.db.read() as session:
        assert [line.tier for line in sales.exceptions(session)] == ["Z"]


def test_order_for_an_unknown_broadcast_is_kept(farm: Farm) -> None:
    show = farm.open({"A": 3})
    show.id = "https://id.gs1.org/253/9521002003022L990101-0009"
    assert _states(farm.take(farm.paid(show, ("A", 1)))) == [LineState.UNKNOWN_TIER]


def test_cancelling_gives_the_stock_back_once(farm: Farm) -> None:
    show = farm.open({"A": 3})
    farm.take(farm.paid(show, ("A", 3), order="S-1"))
    assert _states(farm.take(farm.cancelled("S-1"))) == [LineState.CANCELLED]
    farm.take(farm.cancelled("S-1"))
    assert farm.stock(show) == {"A": (3, 0)}
    assert _states(farm.take(farm.paid(show, ("A", 3)))) == [LineState.HELD]


def test_cancelling_a_sold_out_line_gives_nothing_back(farm: Farm) -> None:
    show = farm.open({"A": 1})
    farm.take(farm.paid(show, ("A", 1)))
    farm.take(farm.paid(show, ("A", 1), order="S-2"))
    farm.take(farm.cancelled("S-2"))
    assert farm.stock(show) == {"A": (1, 1)}


def test_cancellation_that_overtakes_its_order_still_cancels_it(farm: Farm) -> None:
    show = farm.open({"A": 3})
    assert farm.take(farm.cancelled("S-1")).lines == ()
    assert _states(farm.take(farm.paid(show, ("A", 2), order="S-1"))) == [LineState.CANCELLED]
    assert farm.stock(show) == {"A": (3, 0)}


def test_paid_before_the_end_counts_even_when_it_arrives_after_it(farm: Farm) -> None:
    show = farm.open({"A": 3})
    in_time = farm.paid(show, ("A", 1))
    farm.later(minutes=1)
    with farm.write() as session:
        listings.close(session, show.id, now=farm.at, zone=ZONE)
    farm.later(minutes=1)
    assert _states(farm.take(in_time)) == [LineState.HELD]
    assert _states(farm.take(farm.paid(show, ("A", 1)))) == [LineState.SOLD_OUT]


def test_batch_answers_like_the_same_messages_one_by_one(farm: Farm) -> None:
    show = farm.open({"A": 4, "B": 1})
    one = farm.paid(show, ("A", 3), order="S-1")
    batch = [
        one,
        farm.paid(show, ("A", 2), ("B", 1), order="S-2"),
        one,
        farm.paid(show, ("A", 1), order="S-3"),
        farm.cancelled("S-9"),
    ]
    with farm.write() as session:
        outcomes = sales.take_many(session, batch, now=farm.at)
    assert [_states(outcome) for outcome in outcomes] == [
        [LineState.HELD],
        [LineState.SOLD_OUT, LineState.HELD],
        [LineState.HELD],
        [LineState.HELD],
        [],
    ]
    assert farm.stock(show) == {"A": (4, 4), "B": (1, 1)}


def test_raw_message_is_kept_with_its_answer(farm: Farm) -> None:
    show = farm.open({"A": 3})
    message = farm.paid(show, ("A", 1))
    farm.take(message)
    with farm.db.read() as session:
        row = session.exec(select(InboxMessage)).one()
    assert (row.source, row.message_id, row.body) == (message.source, message.message_id, message.body)
    assert '"held"' in row.outcome


def test_nothing_is_kept_of_a_unit_of_work_that_fails(farm: Farm) -> None:
    show = farm.open({"A": 3})
    message = farm.paid(show, ("A", 1))
    with pytest.raises(ZeroDivisionError), farm.write() as session:
        _ = (sales.take(session, message, now=farm.at), 1 / 0)  # a power cut, as seen from in here
    with farm.db.read() as session:
        assert session.exec(select(SalesLine)).all() == []
    assert not farm.take(message).is_duplicate


def test_lines_remember_when_they_were_taken(farm: Farm) -> None:
    show = farm.open({"A": 3})
    message = farm.paid(show, ("A", 1))
    farm.later(seconds=90)
    farm.take(message)
    with farm.db.read() as session:
        assert session.exec(select(SalesLine)).one().taken_at == message.paid_at + timedelta(seconds=90)
