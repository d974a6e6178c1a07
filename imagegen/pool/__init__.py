"""Many hosts: slots, placement, health."""
