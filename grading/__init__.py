"""From the camera to the price tier, with evidence that lets anyone grade again.

May import: ledger. Never farm_sensors, orders, contracts or api.
"""
