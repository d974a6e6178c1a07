"""The SQL of image requests: claim, states, deliveries, queries."""
