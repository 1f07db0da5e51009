"""Devices and what they measured: signed readings in, closed windows in the log.

May import: ledger. Never orders, grading, contracts or api. paho is met in `mqtt` alone, amqtt in
`broker` alone.
"""
