"""Runs the `imagegen` command in a process of its own: its words, its exit code."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import fork_server

IMAGEGEN = Path(sys.executable).with_name("imagegen")
PATIENCE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    said: str
    complained: str
    code: int | None

    @property
    def told(self) -> Any:
        return json.loads(self.said)


async def run(*arguments: str, **variables: str) -> Ended:
    """Run a command that sees these variables and no others; no Redis unless they name one."""
    ended = await asyncio.to_thread(
        fork_server.shared().run,
        [str(IMAGEGEN), *arguments],
        env={"PATH": os.environ["PATH"], "REDIS_PORT": "1", **variables},
        # Where there is no .env.
        cwd=Path(__file__).parent,
        timeout=PATIENCE_S,
    )
    return Ended(said=ended.stdout, complained=ended.stderr, code=ended.returncode)
