"""How long a test waits for what must come, on a machine that has much else to do."""

PATIENCE_S = 60.0
"""After so many seconds a test fails. No test takes so long on a machine that is well."""
