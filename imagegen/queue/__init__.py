"""arq and Redis: job lease, relay, shutdown, live progress."""
