"""The append-only log of everything that happened, and the small kernel every package shares.

May import: nothing of ours. Everyone may import it.
"""
