"""A ComfyUI host for laptops and tests: same wire, drawn with Pillow."""

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import structlog
from aiohttp import web

from imagegen.sandbox.comfyui.files import Files
from imagegen.sandbox.comfyui.machine import Account, Machine, Posted
from imagegen.sandbox.comfyui.routes import build_app
from imagegen.sandbox.comfyui.versions import VERSIONS
from imagegen.sandbox.comfyui.worker import Drawn

log = structlog.get_logger(__name__)

DEFAULT_MODELS: Mapping[str, Sequence[str]] = {
    "diffusion_models": ("z_image_turbo_bf16.safetensors", "z_image_turbo_fp8_e4m3fn.safetensors"),
    "text_encoders": ("qwen_3_4b.safetensors", "qwen_3_4b_fp8_mixed.safetensors"),
    "vae": ("ae.safetensors",),
}


class SandboxComfyUI:
    """A ComfyUI host that behaves on the wire like a real one of the given version.

    `models` names the files it has, by folder as ComfyUI names them; a file whose name begins with
    `corrupt` or `unknown_arch` fails when a node loads it. `seconds_per_picture` is how long a
    sampler draws, whatever its number of steps.

    `posted` and `drawn` account for everything since it was made, deaths included.
    """

    def __init__(  # noqa: PLR0913 each is a setting of its own
        self,
        *,
        name: str = "sandbox",
        version: str = "0.33",
        models: Mapping[str, Sequence[str]] | None = None,
        seconds_per_picture: float = 0.0,
        port: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        self.name = name
        self.version = VERSIONS[version]
        self.files = Files(tells_common_path=self.version.tells_common_path)
        self.posted: list[Posted] = []
        self.drawn: list[Drawn] = []
        self.models = DEFAULT_MODELS if models is None else models
        self.seconds_per_picture = seconds_per_picture
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None
        self._life: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.kill()

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`; known once it has started, the same ever after."""
        if not self._port:
            raise RuntimeError(f"{self.name} has not been started yet")
        return f"{self._host}:{self._port}"

    async def start(self) -> None:
        """Begin a life: an empty queue, history and cache, on the same port as ever.

        Saved outputs are still there, temp files are not.
        """
        self.files.clear_temp()
        machine = Machine(
            version=self.version,
            models=self.models,
            files=self.files,
            account=Account(posted=self.posted, drawn=self.drawn),
            seconds_per_picture=self.seconds_per_picture,
        )
        self._runner = web.AppRunner(build_app(machine), access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self._life = asyncio.create_task(machine.live(), name=f"{self.name} lives")
        log.info("sandbox comfyui started", host=self.name, address=self.address)

    async def kill(self) -> None:
        """Die as by SIGKILL: sockets break without a close frame, HTTP is refused.

        May be called twice; `start` brings it back.
        """
        if self._runner is None or self._life is None:
            return
        runner, life = self._runner, self._life
        self._runner = self._life = None
        life.cancel()
        for site in list(runner.sites):
            await site.stop()
        for connection in list(runner.server.connections if runner.server else ()):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.wait([life])
        await runner.cleanup()
        log.info("sandbox comfyui died", host=self.name)
        if not life.cancelled():
            # It ended before it was killed: a mistake in the sandbox itself must not stay hidden.
            life.result()
