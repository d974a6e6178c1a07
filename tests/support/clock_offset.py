"""Runs a module in a process whose clock is off: `python -m tests.support.clock_offset 600 module`.

`time.time` is 600 s ahead there, for arq and everything else; monotonic clocks are not changed.
"""

import runpy
import sys
import time


def main() -> None:
    _, offset_s, module, *arguments = sys.argv
    true_time = time.time
    time.time = lambda: true_time() + float(offset_s)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
