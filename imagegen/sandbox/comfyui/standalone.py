"""A simulated host as a program of its own, which listens until a signal ends it."""

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from imagegen.sandbox.comfyui.faults.fault import Fault
from imagegen.sandbox.comfyui.faults.kinds import MEANINGS
from imagegen.sandbox.comfyui.host import SandboxComfyUI
from imagegen.sandbox.comfyui.versions import NEW
from imagegen.sandbox.errors import SandboxError

_SHUTDOWN_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class BadModel(SandboxError, ValueError):
    """A model that is not written as FOLDER=FILE; the message is one sentence."""


@dataclass(frozen=True, kw_only=True)
class SimulatorOptions:
    """The options of the command line; empty `models` means the default ones."""

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
    """Create the host; it is not started yet.

    `default_models` are file names by folder, used if the options name none.

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
    """Start the host, pass the line with its address to `say`, and return after SIGINT or SIGTERM.

    Raises:
        SandboxError: the host cannot listen on its port.
    """
    asyncio.run(_run(host, say))


def fault_help() -> list[tuple[str, str]]:
    """List the faults for a help page: the kind with its own parameters, and its line of help."""
    return [
        (" ".join([str(kind), *sorted(meaning.takes)]), meaning.line)
        for kind, meaning in MEANINGS.items()
    ]


async def _run(host: SandboxComfyUI, say: Callable[[str], None]) -> None:
    signalled = asyncio.Event()
    for number in _SHUTDOWN_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, signalled.set)
    async with host:
        say(f"ComfyUI {host.version.reported} (sandbox) listens on http://{host.address}")
        await signalled.wait()


def _models(texts: Sequence[str]) -> Mapping[str, Sequence[str]]:
    models: dict[str, list[str]] = {}
    for text in texts:
        folder, _, file = text.partition("=")
        if folder not in NEW.folders or not file:
            raise BadModel(f"{text!r} is no FOLDER=FILE; folders are {', '.join(NEW.folders)}")
        models.setdefault(folder, []).append(file)
    return models
