"""A bot that is forked after its hook was used, as by gunicorn's preload or Celery's prefork.

`python -m tests.support.forking_bot` reads its settings from the environment. Its exit code is 0 if
the turns of both processes brought a picture.
"""

import os
import sys

from chatflow_hook.sync import ChatFlowHook
from tests.support.conversations import turn


def main() -> int:
    hook = ChatFlowHook.from_env()
    before = hook.ask(turn(1))
    child = os.fork()
    if child == 0:
        os._exit(0 if hook.wait(hook.ask(turn(2)), timeout=0).state == "queued" else 1)
    _, status = os.waitpid(child, 0)
    after = hook.wait(before, timeout=0)
    hook.close()
    return 0 if after.state == "queued" and status == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
