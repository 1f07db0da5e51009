"""One file for each door. Endpoints parse, call one domain function and shape the answer."""
