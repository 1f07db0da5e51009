"""Bytes from devices into plain records, one module per format. Pure: no session, no clock."""
