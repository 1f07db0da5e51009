"""A belt that never stops: from camera frames to fruit followed, seen from several sides, graded, sent to a lane.

Imports `ledger` and the rest of `grading`, and nothing else of ours.
"""
