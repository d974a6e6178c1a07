"""A bot that is forked after its hook was used, as by gunicorn's preload or Celery's prefork.

`python -m tests.support.forking_bot` reads its settings from the environment. Its exit code is 0 if
the calls of both processes were done.
"""

import os
import sys
import warnings

from chatflow_hook.sync import ChatFlowHook


def main() -> int:
    hook = ChatFlowHook.from_env()
    hook.confirm_age(1)
    # Python 3.12 and newer warn of a fork beside threads, which gunicorn and Celery do all the same.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    child = os.fork()
    if child == 0:
        hook.confirm_age(2)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    both_stored = hook.has_confirmed_age(1) and hook.has_confirmed_age(2)
    hook.close()
    return 0 if both_stored and status == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
