"""What an anchor costs at worst, and that the contract's quick loop decides as the slow words of RFC 9162 do."""

from collections.abc import Iterator
from random import Random

import pytest

from ledger import merkle
from ledger.errors import VerificationError
from tests.contracts.gauge import Gauge, proof_between, steps

GOAL = 60_000
LEAVES = 1_000_000


@pytest.fixture(scope="module")
def gauge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gauge]:
    made = Gauge(tmp_path_factory.mktemp("gauge"))
    yield made
    made.close()


def transition(random: Random) -> tuple[int, int]:
    """A size about a million and a larger one: batches of every order of magnitude, favouring sizes full of ones."""
    first = random.randrange(LEAVES * 9 // 10, LEAVES * 11 // 10)
    if random.random() < 0.5:
        first |= (1 << random.randrange(20)) - 1
    batch = random.choice([1, 100, 1_000, 10_000, random.randrange(1, LEAVES), LEAVES])
    return first, first + batch


def dearest(starts: range, largest: int) -> dict[tuple[int, int], tuple[int, int]]:
    """For every number of left and right siblings that occurs from these starts, one transition that has it.

    What happens above `first` depends on the level alone where both paths meet, so one second size for each
    level stands for all of them.
    """
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for first in starts:
        fn = first - 1
        for level in range(21, 0, -1):
            second = (fn >> level | 1) << level if fn >> level & 1 == 0 else ((fn >> level) + 1) << level
            if first < second + 1 <= largest:
                found.setdefault(steps(first, second + 1), (first, second + 1))
    return found


def test_no_anchor_on_a_million_leaves_is_dearer_than_the_goal(gauge: Gauge) -> None:
    """Gas follows from how many left and right siblings a proof has, so the dearest shapes stand for all sizes."""
    shapes = dearest(range(LEAVES * 9 // 10, LEAVES * 11 // 10), 2 * LEAVES + LEAVES // 10)
    worst = sorted(shapes, key=lambda shape: 2 * shape[0] + shape[1])[-12:]
    gas = {shapes[shape]: gauge.gas(*shapes[shape]) for shape in worst}
    gas[(1 << 20) - 1, (1 << 21) - 1] = gauge.gas((1 << 20) - 1, (1 << 21) - 1)  # hardly a zero byte in the sizes
    assert worst[-1] == (19, 3)
    assert None not in gas.values()
    assert 59_000 < max(cost or 0 for cost in gas.values()) <= GOAL, gas


def test_random_anchors_are_within_the_goal_and_what_their_shape_costs(gauge: Gauge) -> None:
    random = Random(9162)
    for seed in range(250):
        first, second = transition(random)
        gas = gauge.gas(first, second, seed=seed)
        assert gas is not None, (first, second)
        left, right = steps(first, second)
        # How the siblings alternate and whether there is a seed moves it a little; nothing else does.
        assert -400 < gas - (37_009 + 1_062 * left + 895 * right) < 1_300, (first, second, left, right, gas)
        assert gas <= GOAL


def test_the_contract_decides_as_the_specification_for_sizes_up_to_2_to_the_63(gauge: Gauge) -> None:
    """Valid proofs, and proofs damaged in one place, given to both verifiers."""
    random, agreed = Random(2_1_4_2), {True: 0, False: 0}
    for seed in range(220):
        first = random.getrandbits(random.randrange(1, 63)) + 1
        if random.random() < 0.3:
            first = 1 << random.randrange(62)
        second = first + 1 + random.getrandbits(random.randrange(1, 62))
        path, old, new = proof_between(first, second, seed=seed)
        damage = random.randrange(7)
        if damage == 1:
            path.insert(random.randrange(len(path) + 1), random.randbytes(32))
        elif damage == 2:
            path.pop(random.randrange(len(path)))
        elif damage == 3:
            place = random.randrange(len(path))
            path[place] = path[place][:-1] + bytes([path[place][-1] ^ 1 << random.randrange(8)])
        elif damage == 4:
            old = random.randbytes(32)
        elif damage == 5:
            new = random.randbytes(32)
        elif damage == 6:
            second += 1 + random.getrandbits(random.randrange(1, 61))
        try:
            merkle.verify_consistency(first, second, old, new, path)
            is_valid = True
        except VerificationError:
            is_valid = False
        assert (gauge.run(first, old, second, new, path) is not None) == is_valid, (seed, first, second, damage)
        agreed[is_valid] += 1
    assert min(agreed.values()) > 30
