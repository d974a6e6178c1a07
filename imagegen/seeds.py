"""The seed of a picture; pure, the same on every machine and in every version."""

import hashlib

# Exact in JSON and JavaScript.
MAX_SEED = 2**53 - 1


def of_dialog(dialog_id: int, message_count: int) -> int:
    """Return the seed (0 to 2^53-1) of the picture at a message of a dialog."""
    digest = hashlib.sha256(f"{dialog_id}:{message_count}".encode()).digest()
    return int.from_bytes(digest[:8], "big") & MAX_SEED
