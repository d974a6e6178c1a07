"""The demo: a scripted chat with every persona, real from the hook to the photo in the chat."""

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

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
from imagegen.sandbox.demo import chat_page, progress_board, worker_process
from imagegen.sandbox.demo.progress_board import ProgressBoard
from imagegen.sandbox.demo.worker_process import DemoWorker
from imagegen.sandbox.ports import free_ports
from imagegen.sandbox.servers.servers import Servers, running_servers
from imagegen.sandbox.servers.workdir import private_directory
from imagegen.sandbox.telegram import SandboxTelegram
from imagegen.workflows.library import Library, required_model_files
from imagegen.workflows.screening import screened_workflows

_SANDBOX_HOSTS = 2
_SECONDS_PER_PICTURE = 1.0
# Long enough to be seen.
_SECONDS_PER_PICTURE_CHAT = 4.0
_PICTURE_TIMEOUT_S = 60.0
_PROBE_TIMEOUT_S = 5.0
# Real hosts may have to load their models first.
_PICTURE_TIMEOUT_REAL_HOSTS_S = 600.0
_PAGE_CHECK_INTERVAL_S = 0.2
_FIRST_CHAT = 1001
_MESSAGES = 5


class DemoFailed(ImagegenError):
    """A picture was not delivered, or the demo could not start; the message says what and why."""


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """No `personas` means all of them; `comfyui` None means two simulated hosts.

    With `chat` a person chats, on a web page, instead of the script.
    """

    personas: Sequence[str]
    comfyui: str | None
    workflows: Path
    out: Path
    stay: bool
    chat: bool = False


def run_demo(options: DemoOptions, console: Console) -> None:
    """Run the demo: servers, migrations, hosts, worker, and the chats.

    Raises:
        DemoFailed: a picture was not delivered, or the directory cannot be written to.
        SandboxError: a server of the sandbox cannot start, or the worker has ended by itself.
        WorkflowFault: a workflow is invalid.
        UnknownPersona: there is no such persona.
    """
    started = time.monotonic()
    if options.comfyui:
        asyncio.run(_check_hosts(options.comfyui))
    library = screened_workflows(options.workflows)
    personas = _display_names(options.personas, library)
    if not options.chat:
        _create_directory(options.out)
    with running_servers() as servers, private_directory() as directory:
        migrations.upgrade(servers.database_url)
        console.print("PostgreSQL and Valkey are up, alembic upgrade head is done")
        demo = _Demo(
            options=options,
            library=library,
            personas=personas,
            # The server has no TLS. A demo may be stopped at any moment, and of a connection that asks
            # for TLS then, asyncpg leaves a future behind that asyncio reports.
            servers=replace(servers, database_url=f"{servers.database_url}?sslmode=disable"),
            directory=directory,
            console=console,
            started=started,
        )
        signals.run_until_signal(_run(demo))


def _create_directory(out: Path) -> None:
    """Create the output directory now, so that an error is shown before the pictures are drawn."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):  # an existing directory may not be writable
            pass
    except OSError as error:
        raise DemoFailed(f"--out: {out} cannot be written to ({error.strerror})") from error


async def _check_hosts(hosts: str) -> None:
    """Check that the given hosts answer, before anything is started for them."""
    timeouts = PromptTimeouts(request_s=_PROBE_TIMEOUT_S, queue_s=1, drawing_s=1, silence_s=1)
    for part in hosts.split(","):
        try:
            address = HostAddress.parse(part)
        except ValueError as error:
            raise DemoFailed(f"--comfyui: {error}") from error
        async with HostClient(address, limits=timeouts) as client:
            await client.probe()


def _display_names(requested: Sequence[str], library: Library) -> dict[str, str]:
    """Return display names by persona."""
    if not requested:
        for fault in library.faults.values():
            raise fault
    names = [name.strip().lower() for name in requested] or sorted(library.workflows)
    return {name: library.find(name).persona.display_name for name in names}


@dataclass(frozen=True, kw_only=True)
class _Demo:
    """One run of the demo: its options, and what it runs on."""

    options: DemoOptions
    library: Library
    personas: Mapping[str, str]
    servers: Servers
    directory: Path
    console: Console
    started: float


async def _run(demo: _Demo) -> None:
    async with _comfyui_hosts(demo) as hosts, SandboxTelegram() as telegram:
        demo.console.print(f"ComfyUI: {hosts}  chats: {telegram.url}", highlight=False)
        settings = _worker_settings(demo, hosts, telegram)
        with worker_process.running_worker(demo.directory, settings) as worker:
            if demo.options.chat:
                pages = asyncio.gather(*_pages(demo, telegram, settings))
                await worker.while_running(pages, demo.console.print)
                return
            pictures = await _chat_with_all(demo, telegram, worker)
            _save_photos(demo, telegram)
            _report(demo, pictures, worker)
            if demo.options.stay:
                demo.console.print(f"The chats stay at {telegram.url} until Ctrl-C.")
                await asyncio.Event().wait()


def _pages(
    demo: _Demo, telegram: SandboxTelegram, settings: Mapping[str, str]
) -> list[Awaitable[None]]:
    """Return what runs for a person: the chat page, and the word of the status page."""
    chat = chat_page.serve(
        telegram,
        hook_settings=_hook_settings(demo),
        personas=list(demo.personas),
        say=demo.console.print,
    )
    return [chat, _show_status_page(demo, settings)]


async def _show_status_page(demo: _Demo, settings: Mapping[str, str]) -> None:
    """Print the address of the status page once the worker serves it."""
    host, port = settings["WEB_HOST"], int(settings["WEB_PORT"])
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            break
        await asyncio.sleep(_PAGE_CHECK_INTERVAL_S)
    token = settings["STATUS_TOKEN"]
    demo.console.print(f"Status page: http://{host}:{port}/ (token: {token})", highlight=False)


def _worker_settings(demo: _Demo, hosts: str, telegram: SandboxTelegram) -> dict[str, str]:
    return {
        "DATABASE_URL": demo.servers.database_url,
        "REDIS_URL": demo.servers.redis_url,
        "COMFYUI_HOSTS": hosts,
        "TELEGRAM_BOT_TOKEN": telegram.token,
        "TELEGRAM_API_URL": telegram.url,
        "WORKFLOWS_DIR": str(demo.options.workflows.absolute()),
        "IMAGE_STORE": f"{demo.directory.as_uri()}/images",
        "LOG_FORMAT": "console",
        "WEB_PORT": "0",
        # Ctrl-C must not wait for a picture that is being drawn.
        "STOP_GRACE": "0",
        **(_settings_of_the_pages() if demo.options.chat else {}),
    }


def _settings_of_the_pages() -> dict[str, str]:
    """Return the settings for a person: what the chat page shows, and the status page."""
    return {
        **chat_page.WORKER_SETTINGS,
        "WEB_HOST": "127.0.0.1",
        "WEB_PORT": str(next(free_ports())),
        "STATUS_TOKEN": secrets.token_urlsafe(12),
    }


@asynccontextmanager
async def _comfyui_hosts(demo: _Demo) -> AsyncIterator[str]:
    if demo.options.comfyui:
        yield demo.options.comfyui
        return
    files = required_model_files(demo.library)
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(
                SandboxComfyUI(
                    name=f"gpu-{number + 1}",
                    models={folder: sorted(names) for folder, names in files.items()},
                    seconds_per_picture=_SECONDS_PER_PICTURE_CHAT
                    if demo.options.chat
                    else _SECONDS_PER_PICTURE,
                )
            )
            for number in range(_SANDBOX_HOSTS)
        ]
        yield ",".join(host.address for host in hosts)


async def _chat_with_all(
    demo: _Demo, telegram: SandboxTelegram, worker: DemoWorker
) -> dict[str, Picture | None]:
    settings = _hook_settings(demo)
    timeout_s = _PICTURE_TIMEOUT_REAL_HOSTS_S if demo.options.comfyui else _PICTURE_TIMEOUT_S
    async with (
        connections.result_connection(settings.redis, db=settings.redis_result_db) as redis,
        ChatFlowHook(settings, turn_timeout_s=chat_page.TURN_TIMEOUT_S) as hook,
    ):
        board = ProgressBoard(demo.console, redis, list(demo.personas))
        async with board.shown():
            people = _People(hook=hook, telegram=telegram, board=board, timeout_s=timeout_s)
            chats = [people.chat(number, name) for number, name in enumerate(demo.personas)]
            pictures = await worker.while_running(asyncio.gather(*chats), demo.console.print)
    return dict(zip(demo.personas, pictures, strict=True))


def _hook_settings(demo: _Demo) -> HookSettings:
    # All fields are set: a missing one would be read from the environment, maybe a real bot's.
    return HookSettings(
        _env_file=None,
        database_url=demo.servers.database_url,
        redis_url=demo.servers.redis_url,
        redis_broker_db=3,
        redis_result_db=4,
        image_trigger_min=3,
        image_trigger_max=5,
    )


@dataclass(frozen=True, kw_only=True)
class _People:
    """The people of the demo: each chats with one persona."""

    hook: ChatFlowHook
    telegram: SandboxTelegram
    board: ProgressBoard
    timeout_s: float

    async def chat(self, number: int, persona: str) -> Picture | None:
        """Write messages until a picture is due, and wait for its end; None if none was due."""
        for count in range(1, _MESSAGES + 1):
            request = await self.hook.on_turn(self._turn(number, persona, count))
            self.board.message_sent(persona, count)
            if request is not None:
                self.board.triggered(persona, request)
                picture = await self.hook.wait(request, timeout=self.timeout_s)
                self.board.ended(persona, picture)
                return picture
        return None

    def _turn(self, number: int, persona: str, count: int) -> Turn:
        chat_id, text = _FIRST_CHAT + number, progress_board.demo_line(count + number)
        return Turn(
            dialog_id=number + 1,
            user_id=chat_id,
            chat_id=chat_id,
            chat_type="private",
            persona=persona,
            text=text,
            reply_to_message_id=self.telegram.write(chat_id, text),
        )


def _save_photos(demo: _Demo, telegram: SandboxTelegram) -> None:
    personas = list(demo.personas)
    for message in telegram.sent:
        if message.photo is not None:
            file = demo.options.out / f"{personas[message.chat_id - _FIRST_CHAT]}.png"
            file.write_bytes(message.photo)


def _report(demo: _Demo, pictures: Mapping[str, Picture | None], worker: DemoWorker) -> None:
    delivered = sum(_is_delivered(picture) for picture in pictures.values())
    elapsed_s = time.monotonic() - demo.started
    summary = f"delivered {delivered} of {len(pictures)} pictures in {elapsed_s:.1f} s"
    if delivered == len(pictures):
        demo.console.print(summary, highlight=False)
        return
    faults = [
        _failure(persona, picture)
        for persona, picture in pictures.items()
        if not _is_delivered(picture)
    ]
    raise DemoFailed(
        "\n".join([*faults, f"the worker's last words: {worker.last_words()}", summary])
    )


def _is_delivered(picture: Picture | None) -> bool:
    return picture is not None and picture.state is State.DELIVERED


def _failure(persona: str, picture: Picture | None) -> str:
    if picture is None:
        return f"{persona}: no picture was due in {_MESSAGES} messages: the hook could not record"
    return (
        f"{persona}: {picture.state} ({picture.error_code or 'not ended'}) {picture.message or ''}"
    )
