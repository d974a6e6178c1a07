"""The websocket of a host: `feed.py` sends events, `faulty_connection.py` adds the faults."""
