"""The websocket of a host."""
