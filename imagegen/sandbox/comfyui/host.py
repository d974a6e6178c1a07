"""A ComfyUI host for laptops and tests: same wire, drawn with Pillow."""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import structlog
from aiohttp import web

from imagegen.sandbox.comfyui.execution.executor import ExecutedPrompt
from imagegen.sandbox.comfyui.execution.files import ImageFolders
from imagegen.sandbox.comfyui.faults.fault import Fault
from imagegen.sandbox.comfyui.faults.host_faults import HostFaults
from imagegen.sandbox.comfyui.faults.injection import FaultInjection, FreezeGate
from imagegen.sandbox.comfyui.faults.script import FaultEvent, FaultScript
from imagegen.sandbox.comfyui.http.control import ControlRoutes
from imagegen.sandbox.comfyui.http.routes import build_app
from imagegen.sandbox.comfyui.state import AccountState, HostFlags, HostState, PostedPrompt
from imagegen.sandbox.comfyui.usage import UsageRecords, UsageReport
from imagegen.sandbox.comfyui.versions import VERSIONS
from imagegen.sandbox.errors import SandboxError
from imagegen.sandbox.ports import free_ports

log = structlog.get_logger(__name__)

_TURNS = 4

DEFAULT_MODELS: Mapping[str, Sequence[str]] = {
    "diffusion_models": ("z_image_turbo_bf16.safetensors", "z_image_turbo_fp8_e4m3fn.safetensors"),
    "text_encoders": ("qwen_3_4b.safetensors", "qwen_3_4b_fp8_mixed.safetensors"),
    "vae": ("ae.safetensors",),
}


class SandboxComfyUI:
    """A ComfyUI host that behaves on the wire like a real one of the given version.

    `models` names the files it has, by folder as ComfyUI names them; a file whose name begins with
    `corrupt` or `unknown_arch` fails when a node loads it. `seconds_per_picture` is how long a
    sampler draws, whatever its number of steps. `flags` is its command line. `sleep` is asked for
    every wait of the worker, also for one of 0 s between nodes: whoever answers late holds it.

    `model_load_seconds` is what it costs to load other models than those of the prompt before.
    `seed` makes faults that come by chance repeatable.

    `posted` and `drawn` account for everything since it was made, deaths included; `account` adds
    it up.
    """

    def __init__(  # noqa: PLR0913 each is a setting of its own
        self,
        *,
        name: str = "sandbox",
        version: str = "0.33",
        models: Mapping[str, Sequence[str]] | None = None,
        seconds_per_picture: float = 0.0,
        model_load_seconds: float = 0.0,
        seed: int | None = None,
        flags: HostFlags | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        port: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        self.name = name
        self.version = VERSIONS[version]
        self.files = ImageFolders(tells_common_path=self.version.tells_common_path)
        self.posted: list[PostedPrompt] = []
        self.drawn: list[ExecutedPrompt] = []
        self.models = DEFAULT_MODELS if models is None else models
        self.seconds_per_picture = seconds_per_picture
        self._model_load_seconds = model_load_seconds
        self._books = UsageRecords(account=AccountState(posted=self.posted, drawn=self.drawn))
        self._script = FaultScript(seed=seed)
        self._standstill = FreezeGate()
        self._doom = HostFaults(
            self._script, die=self._die, live=self._live, freeze=self.freeze, thaw=self.thaw
        )
        self._flags = flags or HostFlags()
        self._sleep = sleep
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

    @property
    def is_dead(self) -> bool:
        """Whether nobody listens at its address at the moment."""
        return self._runner is None

    @property
    def troubles(self) -> Sequence[FaultEvent]:
        """The faults that have happened, in order."""
        return tuple(self._script.troubles)

    @property
    def account(self) -> UsageReport:
        """All that it did since it was made, added up."""
        return self._books.ledger(self.name, self.troubles)

    def script(self, *faults: Fault) -> None:
        """Let these faults happen when their occasions come, those scripted before first."""
        self._script.add(faults)
        if self._runner is not None:
            self._doom.begin()

    async def happened(self, fault: Fault, *, times: int = 1) -> FaultEvent:
        """Wait until a fault has happened so often; there is no limit but the caller's."""
        return await self._script.happened(fault, times=times)

    async def came_back(self) -> None:
        """Wait until it lives, after a death; there is no limit but the caller's."""
        await self._doom.lives.wait()

    def calm(self) -> None:
        """Forget all faults to come, and thaw."""
        self._script.clear()
        self.thaw()

    def freeze(self) -> None:
        """Stand still as by SIGSTOP: TCP connects, sockets stay open, nothing answers or draws."""
        if self._runner is not None and not self._standstill.is_frozen:
            self._standstill.freeze()
            self._books.begin_outage("frozen")

    def thaw(self) -> None:
        """Go on as by SIGCONT: what came in meanwhile is served now."""
        if self._standstill.is_frozen:
            self._standstill.thaw()
            self._books.end_outage()

    async def start(self) -> None:
        """Begin a life: an empty queue, history and cache, on the same port as ever.

        Saved outputs are still there, temp files are not.
        """
        await self._live()
        self._doom.begin()

    async def kill(self) -> None:
        """Die as by SIGKILL: sockets break without a close frame, HTTP is refused.

        May be called twice; `start` brings it back, and nothing else does.
        """
        await self._doom.end()
        await self._die()

    async def _live(self) -> None:
        self.files.clear_temp()
        self._standstill = FreezeGate()
        machine = self._machine()
        app = build_app(machine)
        self._controls().add_to(app.router)
        self._runner = web.AppRunner(app, access_log=None)
        await self._listen(self._runner)
        self._life = asyncio.create_task(machine.live(), name=f"{self.name} lives")
        self._books.end_outage()
        self._doom.lives.set()
        log.info("sandbox comfyui started", host=self.name, address=self.address)

    async def _listen(self, runner: web.AppRunner) -> None:
        await runner.setup()
        why = "no port is free"
        # Not one that the system picks: while a host is dead, connections of its own clients
        # could take that.
        for port in [self._port] if self._port else free_ports():
            try:
                await web.TCPSite(runner, self._host, port, reuse_address=True).start()
            except OSError as error:
                why = _why(error)
                if self._port or error.errno != errno.EADDRINUSE:
                    break
            else:
                self._port = port
                return
        self._runner = None
        await runner.cleanup()
        raise SandboxError(f"no ComfyUI on {self._host}:{self._port}: {why}")

    def _machine(self) -> HostState:
        return HostState(
            version=self.version,
            models=self.models,
            files=self.files,
            account=self._books.account,
            seconds_per_picture=self.seconds_per_picture,
            model_load_seconds=self._model_load_seconds,
            flags=self._flags,
            sleep=self._sleep,
            mischief=FaultInjection(
                script=self._script,
                standstill=self._standstill,
                restart=self._doom.restart,
                freeze=self._doom.freeze,
            ),
        )

    def _controls(self) -> ControlRoutes:
        return ControlRoutes(
            faults=self._script,
            account=lambda: self.account,
            add=lambda faults: self.script(*faults),
            calm=self.calm,
        )

    async def _die(self) -> None:
        if self._runner is None or self._life is None:
            return
        runner, life = self._runner, self._life
        self._runner = self._life = None
        self._doom.lives.clear()
        self._books.begin_outage("dead")
        life.cancel()
        for site in list(runner.sites):
            await site.stop()
        # What was accepted a moment ago becomes a connection within a few turns of the loop.
        for _ in range(_TURNS):
            await asyncio.sleep(0)
            _break_off(runner.server)
        self._standstill.end()
        await asyncio.wait([life])
        await runner.cleanup()
        log.info("sandbox comfyui died", host=self.name)
        if not life.cancelled():
            # It ended before it was killed: a mistake in the sandbox itself must not stay hidden.
            life.result()


def _break_off(server: web.Server | None) -> None:
    for connection in list(server.connections if server else ()):
        if connection.transport is not None:
            connection.transport.abort()


def _why(error: OSError) -> str:
    taken = error.errno == errno.EADDRINUSE
    return "the port is taken" if taken else error.strerror or str(error)
