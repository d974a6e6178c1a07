"""The seed of a picture; pure, the same on every machine and in every version."""

import hashlib
import random

from imagegen.workflows.library import MAX_SEED


def of_dialog(dialog_id: int, message_count: int, variation: int = 0) -> int:
    """Return the seed (0 to 2^53-1) of the picture at a message of a dialog."""
    return _hashed(f"{dialog_id}:{message_count}", variation)


def of_story(persona: str, story: str, variation: int = 0) -> int:
    """Return the seed (0 to 2^53-1) of a persona's pictures through a story: one look in all."""
    return _hashed(f"story:{len(persona)}:{persona}:{story}", variation)


def at_random(chance: random.Random) -> int:
    """Return another seed (0 to 2^53-1) each time."""
    return chance.randrange(MAX_SEED + 1)


def _hashed(name: str, variation: int) -> int:
    named = f"{name}:{variation}" if variation else name
    digest = hashlib.sha256(named.encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") & MAX_SEED
