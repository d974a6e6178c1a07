"""What decoded pictures took is not kept by the process."""

import platform
import subprocess
import sys

import pytest

# One large thing freed makes glibc take the next ones from its heap, where a small thing that
# lives on after them keeps all of them.
SCRIPT = """
import pathlib, sys
from imagegen import image_file

def resident_mb():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

if sys.argv[1] == "given back":
    image_file.give_large_memory_back()
del (first := [bytes(b"x" * 20_000_000)])[:]
before = resident_mb()
large = [b"x" * 1_000_000 for _ in range(60)]
small = b"x" * 50_000
del large
print(resident_mb() - before)
"""


def kept_mb(how: str) -> float:
    command = [sys.executable, "-c", SCRIPT, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone keeps it")
def test_large_memory_goes_back_to_the_system() -> None:
    assert kept_mb("as usual") > 40
    assert kept_mb("given back") < 5
