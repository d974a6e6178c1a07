"""One request from its claim to a stored image: cache, slot, prompt on a host, fetch, store."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog

from imagegen import image_file, periodic
from imagegen.comfy.capabilities import Requirements
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostLost, ImageGone, OutOfMemory, PromptLost
from imagegen.comfy.execution import PromptExecution
from imagegen.comfy.history import OutputImage
from imagegen.comfy.prompt import PromptJob, PromptResult
from imagegen.errors import ImagegenError, Rejected, Unavailable
from imagegen.image_file import BadImage, ImageFile
from imagegen.pipeline.context import JobContext
from imagegen.pool.host import SlotLease
from imagegen.queue import shutdown
from imagegen.requests.claim import ClaimedRequest, ClaimLost, ClaimState, TooLate
from imagegen.requests.repository import DrawingPlan
from imagegen.safety import image_screen
from imagegen.safety.rating import ImageRefused
from imagegen.storage.store import ImageLost, StoredImage
from imagegen.workflows.binding import BoundGraph, bind

log = structlog.get_logger(__name__)

_FETCH_DELAYS_S = (0.2, 1.0)


async def fetch_image(host: HostClient, made: OutputImage | bytes) -> ImageFile:
    """Fetch and check a picture; a broken transfer is made again. Raises HostLost or BadPicture."""
    for delay in _FETCH_DELAYS_S:
        try:
            return await asyncio.to_thread(image_file.read, await host.fetch(made))
        except (HostLost, BadImage) as error:
            log.warning("picture is fetched again", host=host.name, why=error.sentence)
        await asyncio.sleep(delay)
    return await asyncio.to_thread(image_file.read, await host.fetch(made))


# How soon a prompt is taken off its host when nobody wants its picture any more.
_CHECK_CLAIM_EVERY_S = 2.0
# What drawing once more may cure: memory was freed, a file is written anew.
_WORTH_ANOTHER_DRAWING = (OutOfMemory, ImageGone, BadImage)


class ImageGeneration:
    """One request of one job. Nothing that an earlier job began is drawn twice if it survived."""

    def __init__(self, context: JobContext, request: ClaimedRequest) -> None:
        self._context = context
        self._request = request
        self._drawing: PromptExecution | None = None
        self._stored_from: HostClient | None = None
        self._data: bytes | None = None
        self._workflow = context.library.find(request.persona)

    @property
    def request(self) -> ClaimedRequest:
        """The request as it stands now."""
        return self._request

    @property
    def data(self) -> bytes | None:
        """The bytes of a picture that was stored just now."""
        return self._data

    async def run(self) -> StoredImage:
        """Draw, fetch and store the picture, or take up what an earlier job has begun.

        Raises Refused if it is not to be drawn.
        """
        self._direction = await self._context.content_policy.image_spec(
            self._request, self._workflow.persona
        )
        try:
            return await self._resume() or await self._from_cache() or await self._draw()
        except _WORTH_ANOTHER_DRAWING as error:
            log.warning("picture is drawn once more", code=error.code, why=error.sentence)
            return await self._draw()

    async def clean_up_host(self) -> None:
        """Leave nothing of a stored picture's prompt on its host; nobody needs to wait for that."""
        if self._stored_from is not None:
            await self._delete_history(self._stored_from)

    async def _resume(self) -> StoredImage | None:
        """Go on with the prompt that the row tells of; None if there is nothing to go on with."""
        if self._request.prompt_id is None or self._request.host is None:
            return None
        graph = self._graph(self._request.draw)
        try:
            async with (
                self._recorded(is_posted=True),
                self._context.pool.lease_on(self._request.host) as lease,
            ):
                drawn = await self._watched(lease, graph, PromptExecution.resume)
        except (HostLost, PromptLost) as error:
            log.warning("prompt not taken up", code=error.code, why=error.sentence)
            return None
        log.info("prompt taken up", host=lease.host.name, prompt_id=str(self._request.prompt_id))
        return await self._store(lease.host, drawn)

    async def _from_cache(self) -> StoredImage | None:
        """Take the picture that the same graph has drawn before; None if there is none."""
        context, graph = self._context, self._graph(self._request.draw + 1)
        known = await context.image_cache.find(self._request, graph.cache_key)
        if known is None or not await self._may_be_shown(known.image):
            return None
        url = context.images.url(known.image.name)
        taken = await context.image_cache.reuse(self._request, known, self._plan(graph), url=url)
        if taken is None:
            return None
        self._request = taken
        log.info("picture known", seconds_saved=known.seconds)
        return known.image

    async def _may_be_shown(self, image: StoredImage) -> bool:
        """Look at a stored picture as at a fresh one; False if it is gone. Raises ImageRefused."""
        if self._context.image_screen is None:
            return True
        try:
            data = await self._context.images.get(image.name)
        except ImageLost:
            return False
        await self._screen_image(data)
        return True

    async def _draw(self) -> StoredImage:
        graph = self._graph(self._request.draw + 1)
        async with self._recorded(is_posted=False), self._leased_slot(graph.requirements) as lease:
            log.info("using host", host=lease.host.name, persona=self._request.persona)
            self._request = await self._context.requests.start_drawing(
                self._request, self._plan(graph), host=lease.host.name
            )
            drawn = await self._watched(lease, graph, PromptExecution.run)
        prompt_id = str(self._request.prompt_id)
        log.info("prompt completed", host=lease.host.name, prompt_id=prompt_id)
        return await self._store(lease.host, drawn)

    def _graph(self, draw: int) -> BoundGraph:
        return bind(
            self._workflow,
            prompt=self._direction.prompt.text,
            seed=self._direction.seed,
            # Fresh for each draw, so that no host answers with the file of an earlier one.
            prefix=f"chatflow/{self._request.id}-{draw}",
            keep_outputs=self._context.keep_outputs,
        )

    def _plan(self, graph: BoundGraph) -> DrawingPlan:
        return DrawingPlan(
            seed=graph.seed,
            cache_key=graph.cache_key,
            rating=self._direction.rating,
            scene=self._direction.stored_scene(self._request),
        )

    @asynccontextmanager
    async def _leased_slot(self, needs: Requirements) -> AsyncIterator[SlotLease]:
        """Lend a slot, for as long as the picture is still wanted."""
        lease = self._context.pool.lease(
            needs, rather_not=self._request.host, user=self._request.user_id
        )
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._request.time_left_s(self._context.max_age_s)):
                    with shutdown.waiting():
                        lent = await stack.enter_async_context(lease)
            except TimeoutError:
                raise TooLate("no host was free in time, and the chat has moved on") from None
            yield lent

    async def _watched(
        self,
        lease: SlotLease,
        graph: BoundGraph,
        go: Callable[[PromptExecution], Awaitable[PromptResult]],
    ) -> PromptResult:
        """Draw, telling progress, and stop when nobody wants the picture any more."""
        async with self._context.progress.drawing(self._request.id, lease.host.name) as note:
            self._drawing = drawing = lease.host.execution(self._prompt_job(lease, graph, note))
            name = f"claim of {self._request.id}"
            async with periodic.every(
                _CHECK_CLAIM_EVERY_S,
                partial(self._cancel_if_claim_lost, drawing),
                name=name,
                delay_s=_CHECK_CLAIM_EVERY_S,
            ):
                drawn = await go(drawing)
        if drawn.seconds is not None:
            lease.record_drawing(drawn.seconds)
        return drawn

    def _prompt_job(
        self, lease: SlotLease, graph: BoundGraph, note: Callable[[float], None]
    ) -> PromptJob:
        return PromptJob(
            graph=lease.with_host_paths(graph.graph),
            prompt_id=str(self._request.prompt_id),
            node=graph.output_node,
            origin=str(self._request.id),
            on_progress=note,
            before_post=self._check_claim,
        )

    async def _check_claim(self) -> None:
        request = self._request
        await self._context.requests.check_claim(request, proved_at=request.proved_at)

    async def _cancel_if_claim_lost(self, drawing: PromptExecution) -> None:
        """Call the drawing off if the request has been cancelled, or another job has it."""
        try:
            standing = await self._context.requests.claim_state(self._request)
        except Unavailable:
            return  # the fence of the next write will tell
        if standing is not ClaimState.OURS:
            lost = ClaimLost("the request has ended, or another job has it")
            drawing.cancel(lost, leave=standing is ClaimState.TAKEN)

    @asynccontextmanager
    async def _recorded(self, *, is_posted: bool) -> AsyncIterator[None]:
        """Write down what becomes of the prompt if no picture comes of it.

        `is_posted`: it was, before this block. Outermost, since no slot is held while we write.
        """
        self._drawing = None
        try:
            yield
        except ClaimLost:
            if self._leaves_a_stray(is_posted=False):
                await self._context.requests.add_stray(self._request)
            raise
        except ImagegenError:
            if is_posted or self._drawing is not None:
                self._request = await self._context.requests.end_drawing(
                    self._request, leaves_a_stray=self._leaves_a_stray(is_posted=is_posted)
                )
            raise

    def _leaves_a_stray(self, *, is_posted: bool) -> bool:
        return is_posted if self._drawing is None else self._drawing.leaves_a_stray

    async def _store(self, host: HostClient, drawn: PromptResult) -> StoredImage:
        prompt_id = str(self._request.prompt_id)
        try:
            picture = await fetch_image(host, drawn.images[0])
            await self._screen_image(picture.data)
        except Rejected:
            await self._delete_history(host)
            self._request = await self._context.requests.end_drawing(
                self._request, leaves_a_stray=False
            )
            raise
        log.info("picture drawn", host=host.name, prompt_id=prompt_id, bytes=len(picture.data))
        image = await self._context.images.put(picture)
        await self._context.requests.mark_drawn(
            self._request,
            image,
            url=self._context.images.url(image.name),
            seconds=drawn.seconds,
        )
        self._stored_from, self._data = host, picture.data
        return image

    async def _screen_image(self, data: bytes) -> None:
        screen, allowed = self._context.image_screen, self._direction.rating
        if not await image_screen.image_passes(screen, data, allowed):
            raise ImageRefused(language=self._request.language)

    async def _delete_history(self, host: HostClient) -> None:
        """Leave nothing of the prompt on the host; what is not forgotten now stays listed."""
        try:
            await host.delete_history(str(self._request.prompt_id))
        except HostLost as error:
            log.warning("prompt not forgotten", host=host.name, why=error.sentence)
        else:
            await self._context.requests.remove_stray(self._request)
