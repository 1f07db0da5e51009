from hypothesis import given
from hypothesis import strategies as st

from contracts.transactions import Fees, raise_fees

wei = st.integers(min_value=0, max_value=10**15)


@given(wei, wei, wei, wei)
def test_a_replacement_raises_both_fees_by_an_eighth_and_meets_what_is_asked(
    paid_max: int, paid_priority: int, asked_max: int, asked_priority: int
) -> None:
    paid = Fees(max(paid_max, paid_priority), paid_priority)
    raised = raise_fees(paid, Fees(max(asked_max, asked_priority), asked_priority))
    assert raised.max_wei * 8 >= paid.max_wei * 9
    assert raised.priority_wei * 8 >= paid.priority_wei * 9
    assert raised.max_wei > paid.max_wei
    assert raised.priority_wei > paid.priority_wei
    assert raised.max_wei >= asked_max
    assert raised.priority_wei >= asked_priority
    assert raised.max_wei >= raised.priority_wei
