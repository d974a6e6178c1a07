"""The HTTP routes of a host."""
