"""What `imagegen warm` does: hosts load the models of personas, each host those of one at a time."""

import asyncio
import enum
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from chatflow_hook.settings import BadSetting
from imagegen.bootstrap import host_client
from imagegen.cli.host_inspection import HostsSettings, known_hosts
from imagegen.comfy.address import HostAddress
from imagegen.db.tables import HostUse
from imagegen.errors import ImagegenError
from imagegen.monitoring.known_hosts import KnownHosts
from imagegen.pipeline.warming import load_models
from imagegen.pool.pool import Pool
from imagegen.settings import Seconds
from imagegen.workflows.library import Library, Workflow

_FIND_HOSTS_WITHIN_S = 3.0


class WarmSettings(HostsSettings):
    """What it takes to load models on hosts."""

    generation_timeout: Seconds = 120.0


class WarmState(enum.StrEnum):
    """What became of the models of one persona on one host."""

    LOADED = "loaded"
    # A worker knows them to be loaded, so nothing was done.
    WAS_LOADED = "was loaded"
    # The host lacks files or nodes of the persona, and draws others.
    CANNOT_DRAW = "cannot draw"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class WarmOutcome:
    """What became of the models of these personas, which are the same, on one host.

    `seconds` is how long it took, None if nothing was loaded. `why` not, None if they are.
    """

    host: str
    personas: tuple[str, ...]
    state: WarmState
    seconds: float | None = None
    why: str | None = None


def workflows_by_models(library: Library, names: Sequence[str]) -> Mapping[str, Sequence[Workflow]]:
    """Return the workflows of the named personas by their model sets; without names, all.

    Raises:
        WorkflowFault: the files of a named persona are broken.
        UnknownPersona: there is no folder for one.
    """
    workflows = (
        [library.find(name) for name in names]
        if names
        else [library.workflows[name] for name in sorted(library.workflows)]
    )
    by_models: dict[str, list[Workflow]] = {}
    for workflow in workflows:
        same = by_models.setdefault(workflow.requirements.model_set, [])
        if workflow not in same:
            same.append(workflow)
    return by_models


def is_well(outcomes: Sequence[WarmOutcome]) -> bool:
    """Whether no host has failed, and each persona's models are loaded on one host at least."""
    wanted = {persona for each in outcomes for persona in each.personas}
    loaded = {
        persona
        for each in outcomes
        for persona in each.personas
        if each.state in {WarmState.LOADED, WarmState.WAS_LOADED}
    }
    return wanted == loaded and all(each.state is not WarmState.FAILED for each in outcomes)


async def warm_hosts(
    settings: WarmSettings,
    workflows: Mapping[str, Sequence[Workflow]],
    hosts: Sequence[str],
    *,
    timeout_s: float,
    on_end: Callable[[WarmOutcome], None],
) -> Sequence[WarmOutcome]:
    """Let hosts load models, all hosts at the same time; without `hosts` all that workers use.

    `on_end` is called with each outcome as soon as it is known. What is not loaded within
    `timeout_s` is cancelled, and has failed.

    Raises:
        BadSetting: one of `hosts` is no address, or Redis refuses the password.
    """
    known = await known_hosts(settings, timeout_s=_FIND_HOSTS_WITHIN_S)
    addresses = _addresses(known, hosts)
    warming = _Warming(known, workflows, on_end)
    try:
        async with asyncio.timeout(timeout_s), AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(
                    host_client(settings, address, drawing_s=settings.generation_timeout)
                )
                for address in addresses
            ]
            pool = Pool(clients, slots_per_host=1)
            await stack.enter_async_context(pool.running())
            await asyncio.gather(*(warming.warm(pool, each.name) for each in addresses))
    except TimeoutError:
        why = f"not loaded within {timeout_s:g} s"
        for address in addresses:
            warming.fail_rest(address.name, why)
    return warming.outcomes


class _Warming:
    def __init__(
        self,
        known: KnownHosts,
        workflows: Mapping[str, Sequence[Workflow]],
        on_end: Callable[[WarmOutcome], None],
    ) -> None:
        self.outcomes: list[WarmOutcome] = []
        self._loaded = {(host.name, host.loaded) for host in known.published}
        self._workflows = workflows
        self._on_end = on_end

    async def warm(self, pool: Pool, host: str) -> None:
        for model_set in self._workflows:
            self._note(await self._warm_one(pool, host, model_set))

    def fail_rest(self, host: str, why: str) -> None:
        ended = {each.personas for each in self.outcomes if each.host == host}
        for model_set in self._workflows:
            if self._personas(model_set) not in ended:
                self._note(self._outcome(host, model_set, WarmState.FAILED, why=why))

    async def _warm_one(self, pool: Pool, host: str, model_set: str) -> WarmOutcome:
        workflow = self._workflows[model_set][0]
        if (host, model_set) in self._loaded:
            return self._outcome(host, model_set, WarmState.WAS_LOADED)
        if missing := pool.missing(workflow.requirements).get(host):
            why = "; ".join(each.sentence for each in missing)
            return self._outcome(host, model_set, WarmState.CANNOT_DRAW, why=why)
        reservation = await pool.reserve(host, workflow.requirements)
        if reservation is None:
            status = next(each for each in pool.status() if each.name == host)
            why = status.why or "it is not ready for a prompt"
            return self._outcome(host, model_set, WarmState.FAILED, why=why)
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with pool.lease(workflow.requirements, reservation=reservation) as lease:
                await load_models(lease, workflow)
        except ImagegenError as error:
            return self._outcome(host, model_set, WarmState.FAILED, why=error.sentence)
        seconds = round(loop.time() - started, 1)
        return self._outcome(host, model_set, WarmState.LOADED, seconds=seconds)

    def _personas(self, model_set: str) -> tuple[str, ...]:
        return tuple(workflow.persona.name for workflow in self._workflows[model_set])

    def _outcome(
        self,
        host: str,
        model_set: str,
        state: WarmState,
        *,
        seconds: float | None = None,
        why: str | None = None,
    ) -> WarmOutcome:
        personas = self._personas(model_set)
        return WarmOutcome(host=host, personas=personas, state=state, seconds=seconds, why=why)

    def _note(self, outcome: WarmOutcome) -> None:
        self.outcomes.append(outcome)
        self._on_end(outcome)


def _addresses(known: KnownHosts, hosts: Sequence[str]) -> Sequence[HostAddress]:
    if not hosts:
        return [
            address
            for name, address in known.addresses.items()
            if known.use_of(name) == HostUse.ACTIVE
        ]
    try:
        parsed = {each.name: each for each in map(HostAddress.parse, hosts)}
    except ValueError as error:
        raise BadSetting(f"--host: {error}") from None
    return [known.addresses.get(name, address) for name, address in parsed.items()]
