"""How the body of each kind of fruit follows from its outline, for fruit that the chosen standard is not for.

A peach graded by a mango's standard is still as heavy as a peach. Thickness times density is this project's working
value for the weighed fruit of the collection in grading/README.md, each fruit counted alike; density is their mass over
their volume. Widths come from the same fruit, wider where only a few of a kind were weighed.
"""

from collections.abc import Mapping
from typing import Final

from grading.measure import Solid

BODIES: Final[Mapping[str, Solid]] = {
    "apple": Solid(1060, 810, "round", 95),
    "banana": Solid(540, 910, "long", 300),
    "grape": Solid(300, 1000, "long", 300),
    "kiwi": Solid(965, 1030, "round", 140),
    "lemon": Solid(1030, 940, "round", 110),
    "litchi": Solid(975, 990, "round", 100),
    "mango": Solid(880, 1020, "long", 120),
    "orange": Solid(1030, 900, "round", 95),
    "peach": Solid(930, 1035, "round", 100),
    "pear": Solid(990, 980, "round", 140),
    "plum": Solid(1000, 1020, "round", 100),
    "tomato": Solid(950, 1030, "round", 100),
}
"""Every kind the shipped network can name. A banana is a fruit that bends and grapes are a bunch: little better than
a guess, and their widths say so."""
