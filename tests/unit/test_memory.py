"""What was freed is used again, and goes back to the system when it is asked for."""

import ast
import functools
import platform
import subprocess
import sys

import pytest

from imagegen import morphology
from imagegen.safety import screen

# One small thing that lives on keeps all of a heap that lies before it.
SCRIPT = """
import asyncio, pathlib
from imagegen import memory

def resident_mb():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

memory.reuse_memory()
before = resident_mb()
large = [b"x" * 1_000_000 for _ in range(60)]
small = b"x" * 50_000
del large
print(resident_mb() - before)
asyncio.run(memory.give_memory_back())
print(resident_mb() - before)
"""

# The system is asked for memory at each page that a process touches for the first time.
FAULTS = """
import resource
from imagegen import memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

memory.reuse_memory()
picture = b"x" * 1_300_000
for _ in range(5):
    bytearray(picture)
before = faults()
for _ in range(10):
    bytearray(picture)
print(faults() - before)
"""

COLLECTED = """
import gc, weakref
from imagegen import memory

class Cycle:
    def __init__(self):
        self.itself = self

kept = [Cycle() for _ in range(1000)]
memory.spare_objects_of_start()
print(sum(isinstance(each, Cycle) for each in gc.get_objects()))
later = weakref.ref(Cycle())
gc.collect()
print(later() is None)
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone can")


def test_freed_memory_goes_back_to_the_system_also_from_between_what_is_used() -> None:
    kept_mb, kept_after_mb = _printed(SCRIPT)

    assert kept_mb > 40, "it would be used again"
    assert kept_after_mb < 5


def test_a_copy_of_a_picture_takes_memory_that_the_one_before_has_left() -> None:
    (faults,) = _printed(FAULTS)

    assert faults < 100, "from the system each copy takes 318 pages"


def test_the_collector_passes_over_what_was_there_at_the_start_and_finds_what_comes_later() -> None:
    looked_at, is_found = _printed(COLLECTED)

    assert (looked_at, is_found) == (0, True)


def test_a_cache_of_words_ends_where_the_memory_of_all_caches_is_known() -> None:
    screen.shared_screen().conversation("Привет")

    modules = [each for name, each in sys.modules.items() if name.startswith("imagegen.")]
    values = {id(each): each for module in modules for each in vars(module).values()}.values()
    sizes = {
        f"{each.__module__}.{each.__name__}": each.cache_parameters()["maxsize"]
        for each in values
        if isinstance(each, functools._lru_cache_wrapper)
    }
    bounded = {name: size for name, size in sizes.items() if size is not None}

    assert bounded["imagegen.safety.readings._word_forms"] == morphology.CACHED_WORDS
    assert {name for name, size in bounded.items() if size > 5_000} == set()


def _printed(script: str) -> list[float]:
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(ast.literal_eval(line)) for line in done.stdout.splitlines()]
