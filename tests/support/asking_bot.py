"""A bot process that writes in one dialog until a picture is due: `python -m tests.support.asking_bot`.

It reads its settings from the environment.
"""

import asyncio

from chatflow_hook import ChatFlowHook
from tests.support.conversations import turn


async def main() -> None:
    async with ChatFlowHook.from_env() as hook:
        while await hook.on_turn(turn()) is None:
            pass


if __name__ == "__main__":
    asyncio.run(main())
