"""Turn this process into a server that gives up root and ends with its parent.

Run as a script: `drop_privileges.py UID GID PARENT_PID DEATH_SIGNAL PROGRAM [ARGUMENT …]`, with
`-` for UID and GID to keep the account. It is a script and no `preexec_fn`, since Python code
between fork and exec can deadlock when the parent has threads.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def _main(uid: str, gid: str, parent: str, death_signal: str, *command: str) -> None:
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if sys.platform == "linux":
        # After setuid, which clears the death signal (prctl(2)).
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("the parent ended before the server began")
    os.umask(0o077)
    os.execv(command[0], command)  # noqa: S606 - no shell, our own arguments


if __name__ == "__main__":
    _main(*sys.argv[1:])
