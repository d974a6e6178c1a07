"""What a worker tells over HTTP: whether it lives, and whether it can work."""
