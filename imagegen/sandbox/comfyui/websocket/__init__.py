"""The websocket of a host: `feed.py` sends events, `connection.py` adds the faults."""
