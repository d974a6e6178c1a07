"""The whole product for tests: sandbox hosts, sandbox Telegram, a real worker, a real hook."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arq.worker import create_worker

from chatflow_hook import ChatFlowHook, Picture, Request
from chatflow_hook.tracing import Tracing
from imagegen import resources, worker
from imagegen.queue.job_lease import RecoveryTimes
from imagegen.sandbox.comfyui import SandboxComfyUI
from imagegen.sandbox.comfyui.state import HostFlags
from imagegen.sandbox.telegram import SandboxTelegram
from imagegen.settings import Settings
from imagegen.workflows.library import load_workflows, required_model_files
from imagegen.workflows.reload import ReloadableLibrary
from tests.support import conversations
from tests.support.arq_worker import stop_worker
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S
from tests.support.shipped_workflows import shipped_workflows

_RECOVERY_TIMES = RecoveryTimes()
# Few tests look at their pictures, and one of full size costs 50 ms to draw, check and send.
_LONGEST_SIDE = 256


def required_models(folder: Path | None = None) -> Mapping[str, Sequence[str]]:
    """Return all model files that the workflows of a folder name; None means the shipped ones."""
    library = shipped_workflows() if folder is None else load_workflows(folder)
    return {folder: sorted(names) for folder, names in required_model_files(library).items()}


@dataclass(frozen=True, kw_only=True)
class RunningProduct:
    """The parts of a running product, and what tests do with them."""

    hook: ChatFlowHook
    hosts: Sequence[SandboxComfyUI]
    telegram: SandboxTelegram
    sessions: Sessions
    settings: Settings

    async def ask(self, **changes: Any) -> Request:
        """Write messages in a dialog until a picture is due."""
        while True:
            request = await self.hook.on_turn(turn(**changes))
            if request is not None:
                return request

    async def picture(self, **changes: Any) -> Picture:
        """Write messages until a picture is due, and wait for its end."""
        return await self.hook.wait(await self.ask(**changes), timeout=PATIENCE_S)

    def prompts(self) -> list[str]:
        """Return the texts of all prompts that were posted, in order host by host."""
        return [
            node["inputs"]["text"]
            for host in self.hosts
            for posted in host.posted
            for node in posted.graph.values()
            if node["class_type"] == "CLIPTextEncode" and isinstance(node["inputs"]["text"], str)
        ]

    @asynccontextmanager
    async def worker(
        self,
        *,
        is_interrupted: bool = False,
        recovery: RecoveryTimes = _RECOVERY_TIMES,
        tracing: Tracing | None = None,
    ) -> AsyncIterator[None]:
        """Run the worker in this process while the block runs.

        At the end it finishes its jobs, or leaves them where they are if it `is_interrupted`.
        """
        settings = self.settings
        is_shipped = settings.workflows_dir == resources.path("workflows")
        settings_class = worker.worker_settings(
            settings,
            owns_process=False,
            recovery=recovery,
            library=ReloadableLibrary(shipped_workflows)
            if is_shipped and settings.personas_dir is None
            else None,
            tracing=tracing,
        )
        arq_worker = create_worker(settings_class, handle_signals=False)
        task = asyncio.create_task(arq_worker.async_run(), name="worker")
        try:
            yield
        finally:
            await stop_worker(arq_worker, task, is_interrupted=is_interrupted)


class ProductFactory:
    """Starts products on one database and one Redis, and closes what they opened."""

    def __init__(self, database_url: str, redis_url: str, sessions: Sessions, home: Path) -> None:
        self._database_url = database_url
        self._redis_url = redis_url
        self._sessions = sessions
        self._home = home

    @asynccontextmanager
    async def start(
        self,
        *,
        hosts: int = 1,
        seconds_per_picture: float = 0.0,
        models: Mapping[str, Sequence[str]] | None = None,
        works: bool = True,
        seed: int = 0,
        flags: HostFlags | None = None,
        longest_side: int | None = _LONGEST_SIDE,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        bot: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> AsyncIterator[RunningProduct]:
        """Start a product; `changes` are settings of the worker, which starts at once if `works`.

        `bot` are settings of the hook, which the worker gets too. `seed` makes the random faults of
        the hosts repeatable. `flags` are those of their command lines. `longest_side` is that of their
        pictures, None for that of the workflow. `sleep` is that of all hosts: one that does not
        return holds their drawing.
        """
        models = required_models() if models is None else models
        async with AsyncExitStack() as stack:
            sandbox_hosts = [
                await stack.enter_async_context(
                    SandboxComfyUI(
                        name=f"gpu-{number}",
                        models=models,
                        seconds_per_picture=seconds_per_picture,
                        seed=seed + number,
                        flags=flags,
                        longest_side=longest_side,
                        sleep=sleep,
                    )
                )
                for number in range(hosts)
            ]
            telegram = await stack.enter_async_context(SandboxTelegram())
            hook = await stack.enter_async_context(
                ChatFlowHook(
                    conversations.hook_settings(self._database_url, self._redis_url, **(bot or {})),
                    turn_timeout_s=PATIENCE_S,
                )
            )
            product = RunningProduct(
                hook=hook,
                hosts=sandbox_hosts,
                telegram=telegram,
                sessions=self._sessions,
                settings=self._settings(sandbox_hosts, telegram, {**(bot or {}), **changes}),
            )
            if works:
                await stack.enter_async_context(product.worker())
            yield product

    def _settings(
        self,
        sandbox_hosts: Sequence[SandboxComfyUI],
        telegram: SandboxTelegram,
        changes: dict[str, Any],
    ) -> Settings:
        usual: dict[str, Any] = {
            "database_url": self._database_url,
            "redis_url": self._redis_url,
            "comfyui_hosts": ",".join(host.address for host in sandbox_hosts),
            "telegram_bot_token": telegram.token,
            "telegram_api_url": telegram.url,
            "image_store": self._home.as_uri(),
            "log_format": "console",
            "web_port": 0,
        }
        return Settings(_env_file=None, **(usual | changes))
