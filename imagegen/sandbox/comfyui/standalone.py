"""A sandbox host as a program of its own: it listens until a signal ends it."""

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from imagegen.sandbox.comfyui.faults.fault import Fault
from imagegen.sandbox.comfyui.faults.kinds import MEANINGS
from imagegen.sandbox.comfyui.host import SandboxComfyUI
from imagegen.sandbox.comfyui.versions import NEW
from imagegen.sandbox.errors import SandboxError

_ENDING = (signal.SIGINT, signal.SIGTERM)


class BadModel(SandboxError, ValueError):
    """A model that is not written as FOLDER=FILE, in one sentence."""


@dataclass(frozen=True, kw_only=True)
class SimulatorOptions:
    """What to play, as people write it; without `models` it has the default ones."""

    host: str
    port: int
    version: str
    seconds_per_picture: float
    model_load_seconds: float
    models: Sequence[str]
    faults: Sequence[str]
    seed: int | None


def build_host(
    options: SimulatorOptions, *, default_models: Mapping[str, Sequence[str]]
) -> SandboxComfyUI:
    """Make the host, not started yet.

    `default_models` are files by folder, which it has if the options name none.

    Raises:
        FaultError: a fault is not written as it should be.
        BadModel: a model is not written as FOLDER=FILE.
    """
    faults = [Fault.parse(text) for text in options.faults]
    host = SandboxComfyUI(
        version=options.version,
        models=_models(options.models) or default_models,
        seconds_per_picture=options.seconds_per_picture,
        model_load_seconds=options.model_load_seconds,
        seed=options.seed,
        host=options.host,
        port=options.port,
    )
    host.script(*faults)
    return host


def run_host(host: SandboxComfyUI, say: Callable[[str], None]) -> None:
    """Say where it listens, and return after SIGINT or SIGTERM. Raises SandboxError."""
    asyncio.run(_run(host, say))


def fault_help() -> list[tuple[str, str]]:
    """List the faults for a help page: the kind with its own parameters, and its line."""
    return [
        (" ".join([str(kind), *sorted(meaning.takes)]), meaning.line)
        for kind, meaning in MEANINGS.items()
    ]


async def _run(host: SandboxComfyUI, say: Callable[[str], None]) -> None:
    ended = asyncio.Event()
    for number in _ENDING:
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with host:
        say(f"ComfyUI {host.version.reported} (sandbox) listens on http://{host.address}")
        await ended.wait()


def _models(texts: Sequence[str]) -> Mapping[str, Sequence[str]]:
    models: dict[str, list[str]] = {}
    for text in texts:
        folder, _, file = text.partition("=")
        if folder not in NEW.folders or not file:
            raise BadModel(f"{text!r} is no FOLDER=FILE; folders are {', '.join(NEW.folders)}")
        models.setdefault(folder, []).append(file)
    return models
