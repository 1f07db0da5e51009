"""Sales made before picking, the pick orders they raise, packs, labels and codes.

May import: ledger. Never farm_sensors, grading, contracts or api.
"""
