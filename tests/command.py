"""Runs the `imagegen` command as people do: a process, its words, its exit code."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IMAGEGEN = Path(sys.executable).with_name("imagegen")


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
    process = await asyncio.create_subprocess_exec(
        IMAGEGEN,
        *arguments,
        env={"PATH": os.environ["PATH"], "REDIS_PORT": "1", **variables},
        # Where there is no .env.
        cwd=Path(__file__).parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    return Ended(said=said.decode(), complained=complained.decode(), code=process.returncode)
