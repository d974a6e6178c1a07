"""Runs the `imagegen` command in a process of its own: its output, its exit code."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import fork_server
from tests.support.patience import PATIENCE_S

IMAGEGEN = Path(sys.executable).with_name("imagegen")


@dataclass(frozen=True, kw_only=True)
class CommandResult:
    """The output and the exit code of a command that has ended."""

    stdout: str
    stderr: str
    code: int | None

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


async def run(*arguments: str, **variables: str) -> CommandResult:
    """Run a command that sees these variables and no others; no Redis unless they name one."""
    ended = await asyncio.to_thread(
        fork_server.shared().run,
        [str(IMAGEGEN), *arguments],
        env={"PATH": os.environ["PATH"], "REDIS_PORT": "1", **variables},
        # Where there is no .env.
        cwd=Path(__file__).parent,
        timeout=PATIENCE_S,
    )
    return CommandResult(stdout=ended.stdout, stderr=ended.stderr, code=ended.returncode)
