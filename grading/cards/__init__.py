"""Colour cards, held as data: what the patches of a bought card are. Read by `grading.colour_card`."""
