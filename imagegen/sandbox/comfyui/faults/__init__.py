"""What goes wrong on a host, by script."""
