"""Health checks, host status, counters."""
