"""Processes whose clock is wrong: libfaketime shifts the time of day, and no other clock."""

import functools
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

# Where the packages of Linux distributions put it; the first is for programs with threads.
_NAMES = ("libfaketimeMT.so.1", "libfaketime.so.1")
_PLACES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
_PROBE = "import time; print(time.time(), time.monotonic())"
_PROBE_OFFSET_S = 7200
_PROBE_TIMEOUT_S = 10


def environment(offset_s: int) -> Mapping[str, str]:
    """Return the variables of a process whose clock is so many seconds ahead.

    Raises:
        RuntimeError: there is no libfaketime; `why_not` says that before.
    """
    if not offset_s:
        return {}
    library = next(_libraries(), None)
    if library is None:
        raise RuntimeError("libfaketime is not installed")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{offset_s:+d}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@functools.cache
def why_not() -> str | None:
    """Return why no clock can be set wrong here, None if it can; found out by doing it."""
    try:
        shifted = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env={"PATH": os.environ["PATH"], **environment(_PROBE_OFFSET_S)},
            capture_output=True,
            text=True,
            check=True,
            timeout=_PROBE_TIMEOUT_S,
        )
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        return str(error)
    wall, monotonic = map(float, shifted.stdout.split())
    is_wall_shifted = abs(wall - time.time() - _PROBE_OFFSET_S) < _PROBE_TIMEOUT_S
    is_monotonic_kept = abs(monotonic - time.monotonic()) < _PROBE_TIMEOUT_S
    return None if is_wall_shifted and is_monotonic_kept else "libfaketime does not work here"


def _libraries() -> Iterator[Path]:
    for name in _NAMES:
        for place in _PLACES:
            yield from Path(place).glob(f"faketime/{name}")
            yield from Path(place).glob(f"*/faketime/{name}")
    # The wheel of that name brings one along.
    if (wheel := importlib.util.find_spec("libfaketime")) is not None:
        for folder in wheel.submodule_search_locations or ():
            yield from Path(folder).rglob(_NAMES[1])
