"""How a host runs a prompt: validation, order, nodes, cache."""
