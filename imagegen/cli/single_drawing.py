"""One picture through a ComfyUI host, for `imagegen draw`: without a database, a bot or Telegram."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from uuid import uuid4

import structlog

from chatflow_hook import connection_errors
from chatflow_hook.settings import BadSetting
from chatflow_hook.tables import Kind
from chatflow_hook.turn import Rating
from imagegen.bootstrap import host_client, language_model, prompt_builder
from imagegen.cli.host_inspection import HostsSettings, known_hosts
from imagegen.comfy.address import HostAddress
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostLost
from imagegen.comfy.prompt_job import PromptJob
from imagegen.db.tables import HostUse
from imagegen.image_file import ImageFile
from imagegen.pipeline.content_policy import PolicySettings
from imagegen.pipeline.dry_run import DialogFile, DryRun, DryRunResult
from imagegen.pipeline.image_fetch import fetch_image
from imagegen.pool.host import SlotLease
from imagegen.pool.pool import Pool
from imagegen.prompts.scene import PromptSource
from imagegen.safety import image_screen
from imagegen.safety.refusal import ImageRefused
from imagegen.safety.screen import shared_screen
from imagegen.settings import PictureSettings, Seconds
from imagegen.workflows.binding import BoundGraph
from imagegen.workflows.library import Workflow

log = structlog.get_logger(__name__)

_FIND_HOSTS_WITHIN_S = 3.0
_CANCEL_WITHIN_S = 10.0


class DrawSettings(HostsSettings, PictureSettings):
    """What it takes to draw a picture that is sent nowhere."""

    generation_timeout: Seconds = 120.0


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A picture that was drawn on a host; `seconds` is None if its beginning was missed."""

    image: ImageFile
    host: str
    seconds: float | None


async def screened_prompt(
    settings: DrawSettings, workflow: Workflow, text: str, rating: Rating
) -> DryRunResult:
    """Write and screen the prompt as for a picture that an adult asked for in a private chat.

    `text` describes the picture, as a bot's own prompt does. The result has no prompt if nothing may
    be drawn. If the prompt is not of these words, its `fallback` says why, which may be the verdict
    of the screen.

    Raises:
        BadSetting: the language model's key cannot be used.
    """
    screen = shared_screen()
    async with AsyncExitStack() as stack:
        try:
            model = language_model(settings)
        except ValueError as error:
            raise BadSetting(f"PROMPT_LLM_API_KEY: {error}") from error
        if model is not None:
            await stack.enter_async_context(model)
        dry_run = DryRun(
            dialog=DialogFile(persona=workflow.persona.name, prompt=text, rating=rating),
            prompts=prompt_builder(model, screen),
            screen=screen,
            rules=PolicySettings(max_rating=settings.max_rating, seed_mode=settings.seed_mode),
            kind=Kind.ASKED,
        )
        result = await dry_run.run(workflow)
    if result.source == PromptSource.OWN or result.fallback is not None:
        return result
    found = [each for each in (result.talk, result.screen) if each not in {None, "clear"}]
    return replace(result, fallback=found[0] if found else "no words")


async def draw_picture(
    settings: DrawSettings,
    graph: BoundGraph,
    host: str | None,
    rating: Rating,
    *,
    timeout_s: float,
) -> Drawing:
    """Draw a graph on the best host, or on `host` alone, and return the screened picture.

    What is left on the host is deleted, also when the call is cancelled or takes too long.

    Raises:
        BadSetting: `host` is no address, or its name is not known.
        TimeoutError: it took longer than `timeout_s`.
        Unavailable: the host failed.
        Rejected: no host can draw it, or the picture may not be shown.
    """
    # The file that is written has the name of a PNG.
    settings = settings.model_copy(update={"comfyui_transcode": None})
    addresses = await _addresses(settings, host)
    async with asyncio.timeout(timeout_s), AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                host_client(settings, address, drawing_s=settings.generation_timeout)
            )
            for address in addresses
        ]
        if host is not None:
            await _require_answer(clients[0])
        pool = Pool(clients, slots_per_host=settings.comfyui_slots_per_host)
        await stack.enter_async_context(pool.running())
        async with pool.lease(graph.requirements, is_asked=True) as lease:
            return await _draw_on(lease, graph, settings, rating)


async def _require_answer(client: HostClient) -> None:
    """Raise BadSetting or HostLost if the only host does not answer: no other one is waited for."""
    try:
        await client.probe()
    except HostLost as error:
        if any(isinstance(each, socket.gaierror) for each in connection_errors.causes(error)):
            raise BadSetting(f"--host: {error.sentence}") from error
        raise


async def _draw_on(
    lease: SlotLease, graph: BoundGraph, settings: DrawSettings, rating: Rating
) -> Drawing:
    client, prompt_id = lease.host, str(uuid4())
    job = PromptJob(
        graph=lease.with_host_paths(graph.graph),
        prompt_id=prompt_id,
        node=graph.output_node,
        pictures=graph.pictures,
    )
    try:
        result = await client.execution(job).run()
    except asyncio.CancelledError:
        # Too late, or Ctrl-C: nobody takes the prompt up.
        await _take_off(client, prompt_id)
        raise
    try:
        image = await fetch_image(client, result.images[0])
    finally:
        await _take_off(client, prompt_id)
    if not await image_screen.image_passes(settings.image_screen, image.data, rating):
        raise ImageRefused(language="en")
    return Drawing(image=image, host=client.name, seconds=result.seconds)


async def _take_off(client: HostClient, prompt_id: str) -> None:
    """Cancel the prompt, and delete what the host keeps of it; a host that is lost is logged."""
    try:
        await client.cancel_prompt(prompt_id, within_s=_CANCEL_WITHIN_S)
    except HostLost as error:
        log.warning("prompt is left on its host", host=client.name, why=error.sentence)


async def _addresses(settings: DrawSettings, host: str | None) -> Sequence[HostAddress]:
    if host is not None:
        try:
            return [HostAddress.parse(host)]
        except ValueError as error:
            raise BadSetting(f"--host: {error}") from None
    known = await known_hosts(settings, timeout_s=_FIND_HOSTS_WITHIN_S)
    return [
        address for name, address in known.addresses.items() if known.use_of(name) == HostUse.ACTIVE
    ]
