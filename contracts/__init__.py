"""The contract that refuses a rewritten history, and the way signed heads reach it exactly once.

May import: ledger. Never farm_sensors, orders, grading or api.
"""
