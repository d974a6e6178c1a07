"""KeepWarm: loads the models of personas with `keep_warm` on idle hosts, before they are needed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog

from imagegen import periodic
from imagegen.db.tables import HostUse
from imagegen.errors import ImagegenError
from imagegen.metrics import Metrics
from imagegen.pipeline.warming import AddStray, load_models
from imagegen.pool.health import Condition
from imagegen.pool.host import HostStatus
from imagegen.pool.pool import Pool
from imagegen.queue.warm_claims import WarmClaims
from imagegen.workflows.library import Workflow
from imagegen.workflows.reload import ReloadableLibrary

log = structlog.get_logger(__name__)

EVERY_S = 3.0
# After a picture a host is left alone for so long: the next one may be of the same persona.
_IDLE_S = 60.0
# A probe is up to 20 s old, so an idle host is asked once more.
_ASK_WITHIN_S = 2.0
# The pauses after failures with the same models: 30 s, doubled up to an hour.
_FIRST_PAUSE_S = 30.0
_MOST_PAUSE_S = 3600.0


class KeepWarm:
    """Loads models that no host is known to have; call `step` again and again inside of `running`.

    A host loads the models of one persona at a time, and those only if nobody uses it and its
    memory holds those of no other persona that is kept warm. Several workers load the same models
    once. `add_stray` is called with a prompt that may still be on its host. `idle_s`: for how long a
    host must not have been used. `clock` is for tests: seconds, by default of the running event loop.
    """

    def __init__(  # noqa: PLR0913 (what it watches, and two for tests)
        self,
        pool: Pool,
        library: ReloadableLibrary,
        claims: WarmClaims,
        metrics: Metrics,
        *,
        add_stray: AddStray,
        idle_s: float = _IDLE_S,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._pool = pool
        self._library = library
        self._claims = claims
        self._metrics = metrics
        self._add_stray = add_stray
        self._idle_s = idle_s
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        # By host, what loads models there, and which ones.
        self._loading: dict[str, tuple[str, asyncio.Task[None]]] = {}
        # By model set: how often in a row it could not be loaded, and until when it is left alone.
        self._failures: dict[str, tuple[int, float]] = {}

    @asynccontextmanager
    async def running(self, *, is_stopping: Callable[[], bool]) -> AsyncIterator[None]:
        """Load models while the block runs; what is under way at its end is cancelled.

        Nothing is begun any more once `is_stopping`.
        """

        async def step() -> None:
            if not is_stopping():
                await self.step()

        try:
            async with periodic.every(EVERY_S, step, name="warming"):
                yield
        finally:
            tasks = [task for _, task in self._loading.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def step(self) -> None:
        """Look once which models are missing, and begin to load them where nobody is in the way."""
        wanted = self._wanted()
        if not wanted:
            return
        hosts = [host for host in self._pool.status() if _is_well(host)]
        loaded = {host.loaded for host in hosts if host.loaded is not None}
        under_way = {model_set for model_set, _ in self._loading.values()}
        await self._claims.hold((loaded | under_way) & wanted.keys())
        for model_set, workflow in wanted.items():
            if model_set in loaded | under_way or self._is_paused(model_set):
                continue
            host = choose_host(
                [each for each in hosts if each.name not in self._loading],
                able=self._able(workflow),
                kept=wanted.keys(),
                idle_s=self._idle_s,
            )
            if host is not None and await self._claims.take(model_set):
                self._begin(host, model_set, workflow)

    def _wanted(self) -> Mapping[str, Workflow]:
        """Return a workflow for each model set that is to be kept warm."""
        workflows = self._library.current.workflows
        return {
            workflow.requirements.model_set: workflow
            for _, workflow in sorted(workflows.items())
            if workflow.persona.keep_warm
        }

    def _able(self, workflow: Workflow) -> Collection[str]:
        missing = self._pool.missing(workflow.requirements)
        return [name for name, what in missing.items() if not what]

    def _is_paused(self, model_set: str) -> bool:
        return model_set in self._failures and self._clock() < self._failures[model_set][1]

    def _begin(self, host: str, model_set: str, workflow: Workflow) -> None:
        async def load() -> None:
            try:
                await self._load(host, model_set, workflow)
            except Exception:
                log.exception("models not loaded ahead", host=host)
                await self._fail(model_set)
            finally:
                del self._loading[host]

        task = asyncio.create_task(load(), name=f"models are loaded on {host}")
        self._loading[host] = model_set, task

    async def _load(self, host: str, model_set: str, workflow: Workflow) -> None:
        started, wanted = self._clock(), asyncio.Event()
        host_log = log.bind(host=host, persona=workflow.persona.name)
        if not await self._pool.ask(host, within_s=_ASK_WITHIN_S):
            return
        try:
            async with self._pool.lend_idle(host, workflow.requirements, wanted) as lease:
                if lease is None:
                    return
                await load_models(lease, workflow, wanted=wanted, add_stray=self._add_stray)
        except ImagegenError as error:
            if wanted.is_set():
                self._metrics.warmed(host, end="gave_way")
                host_log.info("models not loaded ahead", why="the host is wanted for a picture")
                return
            pause_s = await self._fail(model_set)
            self._metrics.warmed(host, end=error.code)
            host_log.warning(
                "models not loaded ahead", code=error.code, why=error.sentence, pause_s=pause_s
            )
        else:
            self._failures.pop(model_set, None)
            self._metrics.warmed(host, end="loaded")
            host_log.info("models loaded ahead", seconds=round(self._clock() - started, 1))

    async def _fail(self, model_set: str) -> float:
        """Leave a model set alone for a while, in all workers, and return for how many seconds."""
        count = self._failures.get(model_set, (0, 0.0))[0]
        pause_s = min(_FIRST_PAUSE_S * 2.0**count, _MOST_PAUSE_S)
        self._failures[model_set] = count + 1, self._clock() + pause_s
        await self._claims.hold([model_set], for_s=pause_s)
        return pause_s


def choose_host(
    hosts: Sequence[HostStatus],
    *,
    able: Collection[str],
    kept: Collection[str],
    idle_s: float,
) -> str | None:
    """Return the name of the host that loads models now; None if there is none.

    `able` names the hosts that have the files. `kept` are the model sets that are kept warm: none is
    pushed out of the only memory that has it. Of the others, hosts that have nothing loaded come
    first.
    """
    copies = Counter(host.loaded for host in hosts)
    free = [
        host
        for host in hosts
        if host.name in able
        and not (host.taken or host.waiting or host.others)
        and host.idle_s >= idle_s
        and not (host.loaded in kept and copies[host.loaded] == 1)
    ]
    best = min(free, key=lambda host: (host.loaded is not None, host.name), default=None)
    return None if best is None else best.name


def _is_well(host: HostStatus) -> bool:
    return host.use is HostUse.ACTIVE and host.condition is Condition.UP and not host.is_silent
