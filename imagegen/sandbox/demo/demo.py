"""The demo: a scripted chat with every persona, real from the hook to the photo in the chat."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from chatflow_hook import ChatFlowHook, Picture, Turn
from chatflow_hook.settings import HookSettings
from chatflow_hook.tables import State
from imagegen.comfy.address import HostAddress
from imagegen.comfy.client import HostClient
from imagegen.comfy.timeouts import PromptTimeouts
from imagegen.db import migrations
from imagegen.errors import ImagegenError
from imagegen.queue import connections
from imagegen.sandbox import signals
from imagegen.sandbox.comfyui import SandboxComfyUI
from imagegen.sandbox.demo import progress_board, worker_process
from imagegen.sandbox.demo.progress_board import ProgressBoard
from imagegen.sandbox.servers.process import ServerProcess
from imagegen.sandbox.servers.servers import Servers, running_servers
from imagegen.sandbox.servers.workdir import private_directory
from imagegen.sandbox.telegram import SandboxTelegram
from imagegen.workflows.library import Library, load_workflows, required_model_files

_SANDBOX_HOSTS = 2
_SECONDS_PER_PICTURE = 1.0
_PATIENCE_S = 60.0
_FIRST_ANSWER_S = 5.0
# Real hosts may have to load their models first.
_PATIENCE_WITH_REAL_HOSTS_S = 600.0
_LOOK_AT_WORKER_EVERY_S = 0.2
_FIRST_CHAT = 1001
_MESSAGES = 5

ResultT = TypeVar("ResultT")


class DemoFailed(ImagegenError):
    """Something was not delivered; the sentence says what and why."""


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What to show: no `personas` are all of them, no `comfyui` are two sandbox hosts."""

    personas: Sequence[str]
    comfyui: str | None
    workflows: Path
    out: Path
    stay: bool


def run_demo(options: DemoOptions, console: Console) -> None:
    """Run the demo. Raises DemoFailed, SandboxError or a fault of the workflows."""
    started = time.monotonic()
    if options.comfyui:
        asyncio.run(_ask_for(options.comfyui))
    library = load_workflows(options.workflows)
    personas = _chosen(options.personas, library)
    _make(options.out)
    with running_servers() as servers, private_directory() as directory:
        migrations.upgrade(servers.database_url)
        console.print("PostgreSQL and Valkey are up, alembic upgrade head is done")
        show = _Demo(
            options=options,
            library=library,
            personas=personas,
            servers=servers,
            directory=directory,
            console=console,
            started=started,
        )
        signals.run_until_signal(_play(show))


def _make(out: Path) -> None:
    """Make the directory now: after the pictures is too late to hear that it can't be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):  # that it is there does not say it is writable
            pass
    except OSError as error:
        raise DemoFailed(f"--out: {out} cannot be written to ({error.strerror})") from error


async def _ask_for(hosts: str) -> None:
    """Look whether somebody's hosts are there, before anything is started for them."""
    patience = PromptTimeouts(request=_FIRST_ANSWER_S, queue=1, drawing=1, silence=1)
    for part in hosts.split(","):
        try:
            address = HostAddress.parse(part)
        except ValueError as error:
            raise DemoFailed(f"--comfyui: {error}") from error
        async with HostClient(address, limits=patience) as client:
            await client.probe()


def _chosen(wanted: Sequence[str], library: Library) -> dict[str, str]:
    """Return display names by persona."""
    if not wanted:
        for fault in library.faults.values():
            raise fault
    names = [name.strip().lower() for name in wanted] or sorted(library.workflows)
    return {name: library.find(name).persona.display_name for name in names}


@dataclass(frozen=True, kw_only=True)
class _Demo:
    """One run of the demo: what was asked for, and what it runs on."""

    options: DemoOptions
    library: Library
    personas: Mapping[str, str]
    servers: Servers
    directory: Path
    console: Console
    started: float


async def _play(show: _Demo) -> None:
    async with _hosts(show) as hosts, SandboxTelegram() as telegram:
        show.console.print(f"ComfyUI: {hosts}  chats: {telegram.url}", highlight=False)
        with worker_process.running_worker(
            show.directory, _settings(show, hosts, telegram)
        ) as child:
            ends = await _chat(show, telegram, child)
            _save(show, telegram)
            _judge(show, ends, child)
            if show.options.stay:
                show.console.print(f"The chats stay at {telegram.url} until Ctrl-C.")
                await asyncio.Event().wait()


def _settings(show: _Demo, hosts: str, telegram: SandboxTelegram) -> dict[str, str]:
    return {
        "DATABASE_URL": show.servers.database_url,
        "REDIS_URL": show.servers.redis_url,
        "COMFYUI_HOSTS": hosts,
        "TELEGRAM_BOT_TOKEN": telegram.token,
        "TELEGRAM_API_URL": telegram.url,
        "WORKFLOWS_DIR": str(show.options.workflows.absolute()),
        "IMAGE_STORE": f"{show.directory.as_uri()}/images",
        "LOG_FORMAT": "console",
        "WEB_PORT": "0",
        # Whoever ends the demo does not wait for a picture.
        "STOP_GRACE": "0",
    }


@asynccontextmanager
async def _hosts(show: _Demo) -> AsyncIterator[str]:
    if show.options.comfyui:
        yield show.options.comfyui
        return
    files = required_model_files(show.library)
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(
                SandboxComfyUI(
                    name=f"gpu-{number + 1}",
                    models={folder: sorted(names) for folder, names in files.items()},
                    seconds_per_picture=_SECONDS_PER_PICTURE,
                )
            )
            for number in range(_SANDBOX_HOSTS)
        ]
        yield ",".join(host.address for host in hosts)


async def _chat(
    show: _Demo, telegram: SandboxTelegram, child: ServerProcess
) -> dict[str, Picture | None]:
    settings = _hook_settings(show)
    patience = _PATIENCE_WITH_REAL_HOSTS_S if show.options.comfyui else _PATIENCE_S
    async with (
        connections.result_connection(settings.redis, db=settings.redis_result_db) as redis,
        ChatFlowHook(settings) as hook,
    ):
        board = ProgressBoard(show.console, redis, list(show.personas))
        async with board.shown():
            people = _People(hook=hook, telegram=telegram, board=board, patience=patience)
            chats = [people.chat(number, name) for number, name in enumerate(show.personas)]
            ends = await _while_alive(child, asyncio.gather(*chats))
    return dict(zip(show.personas, ends, strict=True))


def _hook_settings(show: _Demo) -> HookSettings:
    # Every field: what is left out would be read from the environment of somebody's real bot.
    return HookSettings(
        _env_file=None,
        database_url=show.servers.database_url,
        redis_url=show.servers.redis_url,
        redis_broker_db=3,
        redis_result_db=4,
        image_trigger_min=3,
        image_trigger_max=5,
    )


async def _while_alive(child: ServerProcess, work: asyncio.Future[ResultT]) -> ResultT:
    try:
        while child.is_running:
            done, _ = await asyncio.wait({work}, timeout=_LOOK_AT_WORKER_EVERY_S)
            if done:
                return work.result()
        raise DemoFailed(f"the worker ended: {child.last_words()}")
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


@dataclass(frozen=True, kw_only=True)
class _People:
    hook: ChatFlowHook
    telegram: SandboxTelegram
    board: ProgressBoard
    patience: float

    async def chat(self, number: int, persona: str) -> Picture | None:
        """Say one thing after the other until a picture is due, and wait for its end."""
        for count in range(1, _MESSAGES + 1):
            request = await self.hook.on_turn(self._turn(number, persona, count))
            self.board.heard(persona, count)
            if request is not None:
                self.board.triggered(persona, request)
                picture = await self.hook.wait(request, timeout=self.patience)
                self.board.ended(persona, picture)
                return picture
        return None

    def _turn(self, number: int, persona: str, count: int) -> Turn:
        chat_id, words = _FIRST_CHAT + number, progress_board.demo_line(count + number)
        return Turn(
            dialog_id=number + 1,
            user_id=chat_id,
            chat_id=chat_id,
            chat_type="private",
            persona=persona,
            text=words,
            reply_to_message_id=self.telegram.write(chat_id, words),
        )


def _save(show: _Demo, telegram: SandboxTelegram) -> None:
    personas = list(show.personas)
    for message in telegram.sent:
        if message.photo is not None:
            file = show.options.out / f"{personas[message.chat_id - _FIRST_CHAT]}.png"
            file.write_bytes(message.photo)


def _judge(show: _Demo, ends: Mapping[str, Picture | None], child: ServerProcess) -> None:
    delivered = sum(_is_delivered(picture) for picture in ends.values())
    took = time.monotonic() - show.started
    summary = f"delivered {delivered} of {len(ends)} pictures in {took:.1f} s"
    if delivered == len(ends):
        show.console.print(summary, highlight=False)
        return
    faults = [_fault(persona, end) for persona, end in ends.items() if not _is_delivered(end)]
    raise DemoFailed(
        "\n".join([*faults, f"the worker's last words: {child.last_words()}", summary])
    )


def _is_delivered(picture: Picture | None) -> bool:
    return picture is not None and picture.state is State.DELIVERED


def _fault(persona: str, picture: Picture | None) -> str:
    if picture is None:
        return f"{persona}: no picture was due in {_MESSAGES} messages: the hook could not record"
    return (
        f"{persona}: {picture.state} ({picture.error_code or 'not ended'}) {picture.message or ''}"
    )
