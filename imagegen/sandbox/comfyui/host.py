"""One simulated ComfyUI host: a server on a TCP port, which can be killed, restarted and frozen."""

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

_LOOP_TURNS = 4

DEFAULT_MODELS: Mapping[str, Sequence[str]] = {
    "diffusion_models": ("z_image_turbo_bf16.safetensors", "z_image_turbo_fp8_e4m3fn.safetensors"),
    "text_encoders": ("qwen_3_4b.safetensors", "qwen_3_4b_fp8_mixed.safetensors"),
    "vae": ("ae.safetensors",),
}


class SandboxComfyUI:
    """A ComfyUI host that behaves on the wire like a real one of the given version.

    It listens while entered; `kill` and `start` are for tests of restarts. One event loop only.

    Args:
        name: the host's name in logs and in its account.
        version: a key of VERSIONS, such as "0.33".
        models: the file names that it has, by ComfyUI folder name. A file whose name begins with
            `corrupt` or `unknown_arch` fails when a node loads it.
        seconds_per_picture: how long one sampler run takes, whatever its number of steps.
        model_load_seconds: how long it takes to load other models than those of the last prompt.
        seed: makes faults with a chance, and the times of recurring ones, repeatable.
        flags: the flags of ComfyUI's command line.
        longest_side: sampled images are drawn in their proportions with no longer side than this, in
            pixels, for who does not look at them: painting costs 40 ms of CPU time at full size.
            None draws them as large as the workflow says.
        sleep: called for every wait of the executor, also for one of 0 s between two nodes; a test
            that returns from it late holds the executor there.
        port: 0 chooses a free one.
        host: the address to listen on.

    `posted` and `drawn` hold everything since it was created, over all restarts; `account` adds
    them up.
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
        longest_side: int | None = None,
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
        self.model_load_seconds = model_load_seconds
        self._usage_records = UsageRecords(
            account=AccountState(posted=self.posted, drawn=self.drawn)
        )
        self._script = FaultScript(seed=seed)
        self._freeze_gate = FreezeGate()
        self._host_faults = HostFaults(
            self._script,
            stop=self._stop_server,
            start=self._start_server,
            freeze=self.freeze,
            thaw=self.thaw,
        )
        self._flags = flags or HostFlags()
        self._longest_side = longest_side
        self._sleep = sleep
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self._task: asyncio.Task[None] | None = None

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
        """The address as `host:port`, known after the first start; a restart does not change it."""
        if not self._port:
            raise RuntimeError(f"{self.name} has not been started yet")
        return f"{self._host}:{self._port}"

    @property
    def is_dead(self) -> bool:
        """Whether nothing listens at its address at the moment."""
        return self._runner is None

    @property
    def troubles(self) -> Sequence[FaultEvent]:
        """The faults that have happened, in order."""
        return tuple(self._script.troubles)

    @property
    def account(self) -> UsageReport:
        """What it did since it was created, added up."""
        return self._usage_records.report(self.name, self.troubles)

    def script(self, *faults: Fault) -> None:
        """Add faults, each to happen at its next occasion, after those that were added before.

        May be called before the host starts.
        """
        self._script.add(faults)
        if self._runner is not None:
            self._host_faults.begin()

    async def happened(self, fault: Fault, *, times: int = 1) -> FaultEvent:
        """Wait until a fault has happened `times` times, and return the last event; no timeout."""
        return await self._script.happened(fault, times=times)

    async def came_back(self) -> None:
        """Wait until the host is up, for example after a restart fault; no timeout."""
        await self._host_faults.is_up.wait()

    def calm(self) -> None:
        """Remove all faults that have not happened yet, and thaw the host."""
        self._script.clear()
        self.thaw()

    def freeze(self) -> None:
        """Freeze as by SIGSTOP: TCP connects, sockets stay open, nothing is answered or drawn.

        Does nothing if the host is frozen or dead.
        """
        if self._runner is not None and not self._freeze_gate.is_frozen:
            self._freeze_gate.freeze()
            self._usage_records.begin_outage("frozen")

    def thaw(self) -> None:
        """Go on as by SIGCONT; requests that came in meanwhile are answered now."""
        if self._freeze_gate.is_frozen:
            self._freeze_gate.thaw()
            self._usage_records.end_outage()

    async def start(self) -> None:
        """Start with an empty queue, history and cache, on the same port as before.

        Saved outputs are kept, temp files are not.

        Raises:
            SandboxError: the port is taken, or cannot be listened on.
        """
        await self._start_server()
        self._host_faults.begin()

    async def kill(self) -> None:
        """End as by SIGKILL: sockets break without a close frame, connections are refused.

        May be called twice. Only `start` brings the host back: restart faults are cancelled.

        Raises:
            SandboxError: a restart fault could not start the host again, its port was taken.
        """
        await self._host_faults.end()
        await self._stop_server()

    async def _start_server(self) -> None:
        self.files.clear_temp()
        self._freeze_gate = FreezeGate()
        state = self._new_state()
        app = build_app(state)
        self._control_routes().add_to(app.router)
        self._runner = web.AppRunner(app, access_log=None)
        await self._listen(self._runner)
        self._task = asyncio.create_task(state.run(), name=f"{self.name} runs")
        self._usage_records.end_outage()
        self._host_faults.is_up.set()
        log.info("sandbox comfyui started", host=self.name, address=self.address)

    async def _listen(self, runner: web.AppRunner) -> None:
        await runner.setup()
        if runner.server is None:
            raise RuntimeError("setup makes the server")
        loop = asyncio.get_running_loop()
        reason = "no port is free"
        # Not port 0: while the host is dead, an outgoing connection of one of its clients could
        # take a port that the system chose.
        for port in [self._port] if self._port else free_ports():
            try:
                self._listener = await loop.create_server(
                    runner.server, self._host, port, reuse_address=True
                )
            except OSError as error:
                reason = _reason(error)
                if self._port or error.errno != errno.EADDRINUSE:
                    break
            else:
                self._port = port
                return
        self._runner = None
        await runner.cleanup()
        raise SandboxError(f"no ComfyUI on {self._host}:{self._port}: {reason}")

    def _new_state(self) -> HostState:
        return HostState(
            version=self.version,
            models=self.models,
            files=self.files,
            account=self._usage_records.account,
            seconds_per_picture=self.seconds_per_picture,
            model_load_seconds=self.model_load_seconds,
            flags=self._flags,
            longest_side=self._longest_side,
            sleep=self._sleep,
            injection=FaultInjection(
                script=self._script,
                freeze_gate=self._freeze_gate,
                restart=self._host_faults.restart,
                freeze=self._host_faults.freeze,
            ),
        )

    def _control_routes(self) -> ControlRoutes:
        return ControlRoutes(
            faults=self._script,
            account=lambda: self.account,
            add=lambda faults: self.script(*faults),
            clear=self.calm,
        )

    async def _stop_server(self) -> None:
        if self._runner is None or self._listener is None or self._task is None:
            return
        runner, listener, task = self._runner, self._listener, self._task
        self._runner = self._listener = self._task = None
        self._host_faults.is_up.clear()
        self._usage_records.begin_outage("dead")
        task.cancel()
        _stop_accepting(listener)
        # A socket that was accepted a moment ago becomes a connection within a few loop iterations;
        # asyncio forgets it, open, if the listener is closed before.
        for _ in range(_LOOP_TURNS):
            await asyncio.sleep(0)
        listener.close()
        # Not earlier: who sees a connection break finds the port closed.
        _abort_connections(runner.server)
        self._freeze_gate.end()
        await asyncio.wait([task])
        await runner.cleanup()
        log.info("sandbox comfyui died", host=self.name)
        if not task.cancelled():
            # It ended before the cancellation: show the sandbox's own bug, do not hide it.
            task.result()


def _stop_accepting(listener: asyncio.Server) -> None:
    loop = asyncio.get_running_loop()
    for each in listener.sockets:
        loop.remove_reader(each.fileno())


def _abort_connections(server: web.Server | None) -> None:
    for connection in list(server.connections if server else ()):
        if connection.transport is not None:
            connection.transport.abort()


def _reason(error: OSError) -> str:
    taken = error.errno == errno.EADDRINUSE
    return "the port is taken" if taken else error.strerror or str(error)
