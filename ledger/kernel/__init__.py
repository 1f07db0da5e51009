"""Settings, database, identifiers, quantities, clock, actors and the root of all errors.

The lowest layer: it imports nothing of ours and knows nothing of events.
"""
