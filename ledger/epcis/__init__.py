"""EPCIS 2.0 documents as others write them: reading, validating, normalising, hashing. Pure.

May import `ledger.errors`, `ledger.events`, `ledger.vocabulary`, `ledger.canonical` and `ledger.kernel`, nothing that
holds a session.
"""
