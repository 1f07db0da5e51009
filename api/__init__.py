"""Every way in: HTTP, pages, worker and command line. May import everything; nothing imports it."""
