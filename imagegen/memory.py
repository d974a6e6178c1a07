"""How memory is used again: what the process keeps of it, and what the garbage collector looks at.

Memory that the system has just given costs a page fault for each 4 KiB: to copy a picture of 1.3 MB
into such memory takes twenty times as long as into memory that was used before. Each read from a
socket asks for 256 KiB, too. So what was freed is kept for what comes next, and given back from time
to time.
"""

import ctypes
import gc
from contextlib import suppress

# How often what is free goes back to the system, in seconds.
GIVE_BACK_EVERY_S = 10.0

# mallopt(3). Larger blocks come from the system and go back to it at once; decoded pictures are so.
_M_MMAP_THRESHOLD = -3
_MMAP_THRESHOLD_BYTES = 4 * 2**20
# How much may stay free at the end of a heap.
_M_TRIM_THRESHOLD = -1
_TRIM_THRESHOLD_BYTES = 16 * 2**20
# How many heaps the threads share. By itself glibc gives each thread one, with its own gaps.
_M_ARENA_MAX = -8
_HEAPS = 2

# After how many new objects the youngest are looked at; Python's own 700 come with each picture.
_NEW_OBJECTS = 10_000


def reuse_memory() -> None:
    """Keep freed blocks of up to 4 MiB, to be used again. `give_memory_back` has to be called then.

    It holds for the whole process, so call it only in a process of our own. Does nothing on a system
    without glibc. May be called twice.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)
        libc.mallopt(_M_ARENA_MAX, _HEAPS)


def spare_objects_of_start() -> None:
    """Let Python's garbage collector pass over all objects that there are now.

    Word lists, personas and code stay as long as the process, and a full collection looks at each of
    them: that takes longer than four pictures do, while nothing else runs. Of what there is now, cycles
    that nobody needs any more are not found later; all else is freed as usual. It holds for the whole
    process, so call it once, in a process of our own, at the end of its start.
    """
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)


async def give_memory_back() -> None:
    """Give back to the system what is free, also between blocks that are in use.

    Without it the process would keep what its busiest moment took, and cycles of objects that have
    grown old would wait for a full collection, which comes after a million objects. Takes some
    milliseconds. Gives nothing back on a system without glibc.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
