from hypothesis import given
from hypothesis import strategies as st

from contracts.transactions import Fees, raise_fees

wei = st.integers(min_value=0, max_value=10**15)


def fees(most: int, priority: int) -> Fees:
    return Fees(max(most, priority), priority)


@given(st.builds(fees, wei, wei), st.builds(fees, wei, wei), st.builds(Fees, wei, wei))
def test_a_replacement_raises_both_fees_by_an_eighth_and_passes_no_cap(paid: Fees, asked: Fees, caps: Fees) -> None:
    raised = raise_fees(paid, asked, caps=caps)
    if raised is None:
        least = Fees(-(-paid.max_wei * 9 // 8), -(-paid.priority_wei * 9 // 8))
        assert least.max_wei >= caps.max_wei or least.priority_wei >= caps.priority_wei
        return
    assert raised.max_wei * 8 >= paid.max_wei * 9
    assert raised.priority_wei * 8 >= paid.priority_wei * 9
    assert raised.max_wei > paid.max_wei
    assert raised.priority_wei > paid.priority_wei
    assert raised.max_wei <= caps.max_wei
    assert raised.priority_wei <= min(caps.priority_wei, raised.max_wei)
    assert raised.max_wei >= min(asked.max_wei, caps.max_wei)


@given(st.builds(fees, wei, wei), st.builds(fees, wei, wei))
def test_without_a_cap_in_the_way_it_meets_what_is_asked(paid: Fees, asked: Fees) -> None:
    raised = raise_fees(paid, asked, caps=Fees(10**18, 10**18))
    assert raised is not None
    assert raised.max_wei >= asked.max_wei
    assert raised.priority_wei >= asked.priority_wei


@given(st.builds(fees, wei, wei), st.builds(Fees, wei, wei))
def test_what_is_signed_first_passes_no_cap_either(asked: Fees, caps: Fees) -> None:
    capped = asked.at_most(caps)
    assert capped.max_wei <= caps.max_wei
    assert capped.priority_wei <= min(caps.priority_wei, capped.max_wei)
