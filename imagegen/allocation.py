"""How the process gets memory for large things, such as pictures, and that it gives it back."""

import ctypes
from contextlib import suppress

_M_MMAP_THRESHOLD = -3
# Where glibc begins; by itself it moves the limit up to whatever was freed once.
_LARGE_BYTES = 128 * 1024


def give_large_memory_back() -> None:
    """Let all that is larger than 128 KiB go back to the system as soon as it is freed.

    For a process that is ours alone. Elsewhere than with glibc (mallopt(3)) this changes nothing.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
