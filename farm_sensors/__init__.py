"""Devices and what they measured: signed readings in, closed windows in the log.

May import: ledger. Never orders, grading, contracts or api.
"""
