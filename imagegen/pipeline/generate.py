"""One request from its claim to a stored image: cache, slot, prompt on a host, fetch, store.

An image or a prompt that an earlier job of the request has left is used before a new one is drawn.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import replace
from functools import partial

import structlog

from chatflow_hook.turn import Rating
from imagegen import periodic
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import (
    HostBusy,
    HostLost,
    HostRemoved,
    ImageGone,
    LoadingTooSlow,
    OutOfMemory,
    PromptLost,
)
from imagegen.comfy.execution import PromptExecution
from imagegen.comfy.prompt_job import PromptJob, PromptResult
from imagegen.errors import ImagegenError, Rejected, Unavailable
from imagegen.image_file import BadImage, ImageFile
from imagegen.metrics import PictureStage
from imagegen.pipeline import image_fetch, stages
from imagegen.pipeline.chat_progress import RequestProgress
from imagegen.pipeline.context import JobContext
from imagegen.pipeline.image_cache import CachedImage
from imagegen.pipeline.image_fetch import ImageFetch
from imagegen.pipeline.image_spec import image_count
from imagegen.pool.host import SlotLease
from imagegen.pool.pool import Reservation
from imagegen.queue import shutdown
from imagegen.requests.claim import ClaimedRequest, ClaimLost, ClaimState, TooLate
from imagegen.requests.repository import DrawingPlan
from imagegen.safety import image_screen
from imagegen.safety.refusal import ImageRefused
from imagegen.storage.store import ImageLost, StoredImage, StoreUnavailable, image_name
from imagegen.workflows.binding import BoundGraph, bind

log = structlog.get_logger(__name__)

# How soon a prompt is cancelled on its host after its request was cancelled or claimed by another.
_CHECK_CLAIM_EVERY_S = 2.0
# A job that waits longer than this for a slot writes down that it only waits; again each minute,
# since PostgreSQL may have been away.
_WAITS_AFTER_S = 0.5
_MARK_WAITING_EVERY_S = 60.0
# How long the host on which a prompt was left may take to answer before it is drawn elsewhere.
_ASK_LEFT_HOST_WITHIN_S = 2.0
# What a second drawing may cure: the models are loaded or memory is freed by now, or the file is
# written anew.
_REDRAW_AFTER = (LoadingTooSlow, OutOfMemory, ImageGone, BadImage)
# How often it is thought over whether another host would begin a prompt sooner that waits on one.
_RECONSIDER_EVERY_S = 1.0


class ImageGeneration:
    """Draws the image of one request for one job; call `run` once.

    `on_begin` is called with the request when a host begins to draw it.

    Raises:
        UnknownPersona: there is no such persona.
        WorkflowFault: the persona's files cannot be used.
    """

    def __init__(
        self,
        context: JobContext,
        request: ClaimedRequest,
        chat_progress: RequestProgress,
        *,
        on_begin: Callable[[ClaimedRequest], None],
    ) -> None:
        self._context = context
        self._on_begin = on_begin
        self._request = request
        self._chat_progress = chat_progress
        # The prompt that this job posts or follows, None before it has one.
        self._execution: PromptExecution | None = None
        # Whether the row names the prompt of `_execution`.
        self._is_prompt_in_row = False
        # The host that loads the models of a prompt that was given up.
        self._loading_host: str | None = None
        # A slot on the host that the prompt moves to.
        self._reservation: Reservation | None = None
        # Whether the row may say that this job only waits.
        self._is_marked_waiting = False
        self._host_to_clean_up: HostClient | None = None
        self._data: tuple[bytes, ...] | None = None
        self._workflow = context.library.current.find(request.persona)

    @property
    def request(self) -> ClaimedRequest:
        """The request with the latest values that this job has written to its row."""
        return self._request

    @property
    def data(self) -> tuple[bytes, ...] | None:
        """The bytes of the images if this job has fetched them from a host, else None."""
        return self._data

    async def run(self) -> StoredImage:
        """Return the stored image: from an earlier job's prompt, from the cache, or drawn now.

        If a cancellation, an error or an outage of the host ends it, the row says which prompt may
        still be on a host; the next job takes that prompt up.

        Raises:
            Refused: the picture may not be drawn, or not be shown.
            CostLimitReached: no more pictures may be drawn today.
            TooLate: the picture was not wanted any more before a slot was free.
            ClaimLost: another job has the request, or it has ended.
            WorkerStops: the worker ends while the job waits for a slot.
            Paused: an operator has paused its persona or kind while it waited for a slot.
            Unavailable: PostgreSQL, the store or the host is away, or the prompt failed on it.
            Rejected: no host can draw it, or what the host made is no image.
        """
        with self._stage(PictureStage.PROMPT):
            self._spec = await self._context.content_policy.image_spec(
                self._request, self._workflow.persona
            )
        try:
            if image := await self._take_up() or await self._from_cache():
                return image
            await self._context.cost_limit.check()
            return await self._draw()
        except _REDRAW_AFTER as error:
            if isinstance(error, OutOfMemory) and self._request.attempts:
                raise  # later: at once it was tried before
            if isinstance(error, LoadingTooSlow):
                # Its models are loaded soon; another host would begin with them anew.
                self._loading_host = self._request.host
            log.warning("picture is drawn once more", code=error.code, why=error.sentence)
            return await self._draw()
        finally:
            self._release_reservation()

    async def clean_up_host(self) -> None:
        """Delete the prompt of the stored image from its host; call it after the delivery.

        It does nothing if this job has drawn no image.

        Raises:
            Unavailable: PostgreSQL is away; the prompt stays listed as a stray.
        """
        if self._host_to_clean_up is not None:
            await self._delete_history(self._host_to_clean_up)

    def _stage(
        self, name: PictureStage, *, host: str | None = None
    ) -> AbstractContextManager[None]:
        return stages.stage(self._context, self._request, name, host=host)

    async def _take_up(self) -> StoredImage | None:
        """Draw as `_draw` does, if an earlier job has left a prompt on a host.

        None if no prompt was left, or if its host answers and does not have it any more.
        """
        if self._request.prompt_id is None:
            return None
        left = self._request
        try:
            return await self._draw()
        except PromptLost as error:
            if self._request.draw != left.draw:
                raise  # not the prompt that was left, but one that was posted to another host
            log.warning("prompt not taken up", code=error.code, why=error.sentence)
            # A POST whose answer was lost may still arrive after the host was asked.
            await self._context.requests.add_stray(left)
            return None

    async def _from_cache(self) -> StoredImage | None:
        """Return an image that the same graph has drawn before; None if there is none."""
        context = self._context
        plan = self._plan(self._graph(self._request.draw + 1))
        try:
            cached_image = await context.image_cache.find(self._request, plan)
            if cached_image is None or not await self._may_be_shown(cached_image):
                return None
        except StoreUnavailable as error:
            log.warning("picture is drawn, not looked for", code=error.code, why=error.sentence)
            return None
        reused_request = await context.image_cache.reuse(
            self._request,
            cached_image,
            plan,
            url=context.image_store.url(cached_image.image.name),
        )
        if reused_request is None:
            return None
        self._request = reused_request
        log.info("picture known", seconds_saved=cached_image.seconds)
        return cached_image.image

    async def _may_be_shown(self, cached_image: CachedImage) -> bool:
        """Screen a stored image like a fresh one; False if it is gone, ImageRefused if it fails.

        The screen may have become stricter since it was drawn.
        """
        if self._context.image_screen is None:
            return True
        try:
            for name in cached_image.image.names:
                data = await self._context.image_store.get(name)
                await self._screen_image(data, cached_image.rating, name=name)
        except ImageLost:
            return False
        return True

    async def _draw(self) -> StoredImage:
        """Take up the prompt that was left on a host if that host answers, else draw on a free one.

        Whichever is possible first: a host that is back has its prompts still.
        """
        async with image_fetch.fetching(most=self._count) as fetch:
            return await self._draw_and_store(fetch)

    async def _draw_and_store(self, fetch: ImageFetch) -> StoredImage:
        try:
            async with self._failure_recorded(), self._leased_slot() as lease:
                self._context.pause_gate.check_slot(self._request, lease)
                if lease.is_resumption:
                    await self._end_wait()
                else:
                    log.info("using host", host=lease.host.name, persona=self._request.persona)
                result = await self._execute(lease, fetch)
        except _LeftHostAnswers as error:
            log.info("host of the prompt answers again", host=error.host)
            return await self._draw()
        except HostBusy as error:
            if self._reservation is None:
                raise
            log.info("prompt moves to another host", why=error.sentence)
            return await self._draw()
        event = "prompt taken up" if lease.is_resumption else "prompt completed"
        log.info(event, host=lease.host.name, prompt_id=str(self._request.prompt_id))
        return await self._fetch_and_store(lease.host, result, fetch)

    def _graph(self, draw: int) -> BoundGraph:
        return bind(
            self._workflow,
            prompt=self._spec.prompt.text,
            seed=self._spec.seed,
            # Another prefix for each draw, so that a host does not answer with an earlier file.
            prefix=f"chatflow/{self._request.id}-{draw}",
            keep_outputs=self._context.keep_outputs,
            count=self._count,
        )

    @property
    def _count(self) -> int:
        return image_count(self._request.kind, self._workflow.persona)

    def _plan(self, graph: BoundGraph) -> DrawingPlan:
        return DrawingPlan(
            seed=graph.seed,
            cache_key=graph.cache_key,
            rating=self._spec.prompt.rating,
            scene=self._spec.stored_scene,
        )

    @asynccontextmanager
    async def _leased_slot(self) -> AsyncIterator[SlotLease]:
        """Hold a slot while the block runs; wait for it as long as the picture is still wanted."""
        slot = self._context.pool.lease(
            self._workflow.requirements,
            avoid_host=self._request.host if self._loading_host is None else None,
            prefer_host=self._loading_host,
            left_on=None if self._request.prompt_id is None else self._request.host,
            user=self._request.user_id,
            is_asked=self._request.kind.is_asked_by_person,
            request_id=self._request.id,
            age_s=self._request.age_s,
            reservation=self._reservation,
        )
        self._chat_progress.waits(partial(self._context.pool.place, self._request.id))
        self._ready_at = asyncio.get_running_loop().time()
        end: ImagegenError = TooLate("no host was free in time, and the chat has moved on")

        async def mark_waiting() -> None:
            nonlocal end
            try:
                await self._mark_waiting()
            except ClaimLost as error:
                end = error
                wait.reschedule(self._ready_at)  # ends it now

        async with AsyncExitStack() as stack:
            try:
                async with (
                    asyncio.timeout(self._request.time_left_s(self._context.max_age_s)) as wait,
                    periodic.every(
                        _MARK_WAITING_EVERY_S,
                        mark_waiting,
                        name=f"wait of {self._request.id}",
                        delay_s=_WAITS_AFTER_S,
                    ),
                ):
                    with self._stage(PictureStage.SLOT), shutdown.waiting():
                        lease = await stack.enter_async_context(slot)
                        # From now on it is given back with the lease.
                        self._reservation = None
            except TimeoutError:
                raise end from None
            yield lease

    async def _mark_waiting(self) -> None:
        """Write down that the job only waits; PostgreSQL may be away.

        Raises:
            ClaimLost: another job has claimed the request, or it has ended.
        """
        self._is_marked_waiting = True
        try:
            await self._context.requests.mark_waiting(self._request)
        except Unavailable:
            return  # the next write checks the claim
        self._context.quarantine.acquit(self._request.id)

    async def _end_wait(self) -> None:
        """Before a prompt is taken up: if the worker dies from now on, that counts again."""
        if self._is_marked_waiting:
            await self._context.quarantine.readmit(self._request)
            await self._context.requests.end_wait(self._request)
            self._is_marked_waiting = False

    async def _execute(self, lease: SlotLease, fetch: ImageFetch) -> PromptResult:
        """Run or resume the prompt with live progress; cancel it if the claim is lost."""
        self._chat_progress.draws(lease.expected_s)
        async with self._context.progress.drawing(self._request.id, lease.host.name) as publish:

            def on_progress(share: float) -> None:
                publish(share)
                self._chat_progress.set_share(share)

            execution = lease.host.execution(self._prompt_job(lease, on_progress, fetch))
            self._execution, self._is_prompt_in_row = execution, lease.is_resumption
            async with (
                periodic.every(
                    _CHECK_CLAIM_EVERY_S,
                    partial(self._cancel_if_unwanted, execution, lease),
                    name=f"claim of {self._request.id}",
                    delay_s=_CHECK_CLAIM_EVERY_S,
                ),
                periodic.every(
                    _RECONSIDER_EVERY_S,
                    partial(self._withdraw_if_late, execution, lease),
                    name=f"place of {self._request.id}",
                    delay_s=_RECONSIDER_EVERY_S,
                ),
            ):
                with self._prompt_counted(execution, lease.host.name):
                    result = await (execution.resume() if lease.is_resumption else execution.run())
        self._release_reservation()
        if result.seconds is not None:
            lease.record_drawing(result.seconds, loading_s=result.loading_s)
        return result

    @contextmanager
    def _prompt_counted(self, execution: PromptExecution, host: str) -> Iterator[None]:
        """Count and trace the prompt of the block when it has ended, well or not."""
        end = "cancelled"
        with self._context.tracing.span("host", host=host):
            try:
                yield
                end = "drawn"
            except ImagegenError as error:
                end = error.code
                raise
            finally:
                times = execution.times(ready_at=self._ready_at)
                stages.prompt_ended(self._context, self._request, host, times, end=end)

    def _prompt_job(
        self, lease: SlotLease, on_progress: Callable[[float], None], fetch: ImageFetch
    ) -> PromptJob:
        request = self._request
        draw = request.draw if lease.is_resumption else request.draw + 1
        graph = self._graph(draw)
        return PromptJob(
            graph=lease.with_host_paths(graph.graph),
            prompt_id=str(request.prompt_id if lease.is_resumption else request.next_prompt_id),
            node=graph.output_node,
            pictures=graph.pictures,
            origin=str(request.id),
            on_progress=on_progress,
            on_gpus=partial(self._context.metrics.gpus_told, lease.host.name),
            on_preview=self._chat_progress.set_preview if self._shows_previews else None,
            on_images=partial(fetch.begin, lease.host),
            on_queue=lease.note_queue,
            on_begin=partial(self._note_begin, lease),
            are_models_loaded=lease.are_models_loaded,
            gives_up_place=partial(self._is_sooner_elsewhere, lease),
            # As the last step before the POST, when the host has opened a websocket: in the row, a
            # host that does not answer never takes the place of one that has a prompt.
            before_post=partial(self._start_drawing, graph, lease.host.name),
        )

    def _note_begin(self, lease: SlotLease) -> None:
        lease.note_begin()
        self._on_begin(self._request)

    @property
    def _shows_previews(self) -> bool:
        # Above safe never: nothing hides a preview, and no screen has seen the picture yet.
        return self._chat_progress.takes_previews and self._spec.prompt.rating is Rating.SAFE

    async def _start_drawing(self, graph: BoundGraph, host: str) -> None:
        requests = self._context.requests
        if self._request.prompt_id is not None:
            await self._expect_silence(self._request.host)
            # It was left on a host that does not answer, and is taken off once that host does.
            self._request = await requests.end_drawing(self._request, leaves_a_stray=True)
        self._request = await requests.start_drawing(self._request, self._plan(graph), host=host)
        self._is_prompt_in_row = True
        await requests.check_claim(self._request, proved_at=self._request.proved_at)
        self._context.quarantine.acquit(self._request.id)

    async def _expect_silence(self, left_on: str | None) -> None:
        """Raise _LeftHostAnswers if the host on which a prompt was left answers again.

        While the slot on another host was waited for and its websocket opened, our own network may
        have come back, and with it that host.
        """
        if left_on is not None and await self._context.pool.ask(
            left_on, within_s=_ASK_LEFT_HOST_WITHIN_S
        ):
            raise _LeftHostAnswers(left_on)

    def _is_sooner_elsewhere(self, lease: SlotLease, ahead: int) -> bool:
        return self._context.pool.is_sooner_elsewhere(lease, ahead=ahead)

    async def _withdraw_if_late(self, execution: PromptExecution, lease: SlotLease) -> None:
        """Take a prompt that waits on a host off it, if another host is free and begins it sooner.

        The slot on the other host is taken first, so no place is given up for nothing. A prompt
        that waits for longer than its picture is wanted is taken off as well.
        """
        if execution.has_begun:
            return
        try:
            self._request.time_left_s(self._context.max_age_s)
        except TooLate as error:
            await execution.withdraw(error)
            return
        pool = self._context.pool
        if self._loading_host is not None or not pool.sooner_host(lease, ahead=lease.most_ahead):
            return
        ahead = await execution.ahead()
        host = None if ahead is None else pool.sooner_host(lease, ahead=ahead)
        if host is None or self._reservation is not None:
            return
        self._reservation = await pool.reserve(host, self._workflow.requirements)
        if self._reservation is not None:
            why = HostBusy(f"{host} begins sooner than {lease.host.name}, where it waits")
            if not await execution.withdraw(why):
                self._release_reservation()

    def _release_reservation(self) -> None:
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            reservation.release()

    async def _cancel_if_unwanted(self, execution: PromptExecution, lease: SlotLease) -> None:
        """Cancel the prompt if the request has ended, another job has it, or its host was removed.

        A prompt that the other job waits for is left on the host.
        """
        if lease.is_given_up:
            why = f"{lease.host.name} was removed by an operator"
            execution.cancel(HostRemoved(why, retry_after_s=0.0))
            return
        try:
            claim_state = await self._context.requests.claim_state(self._request)
        except Unavailable:
            return  # the next write checks the claim
        if claim_state is not ClaimState.OURS:
            error = ClaimLost("the request has ended, or another job has it")
            execution.cancel(error, leave=claim_state is ClaimState.TAKEN)

    @asynccontextmanager
    async def _failure_recorded(self) -> AsyncIterator[None]:
        """If the block fails, write to the row that its prompt has ended or is left on its host.

        If the host does not answer and may have the prompt, the row goes on naming it. Use it outside
        of the lease, since no slot is held while we write to PostgreSQL.
        """
        self._execution, self._is_prompt_in_row = None, False
        try:
            yield
        except ClaimLost:
            if self._leaves_a_stray():
                await self._context.requests.add_stray(self._request)
            raise
        except ImagegenError as error:
            is_kept = isinstance(error, HostLost) and self._leaves_a_stray()
            if self._is_prompt_in_row and not is_kept:
                self._request = await self._context.requests.end_drawing(
                    self._request, leaves_a_stray=self._leaves_a_stray()
                )
            raise

    def _leaves_a_stray(self) -> bool:
        return self._execution is not None and self._execution.leaves_a_stray

    async def _fetch_and_store(
        self, host: HostClient, result: PromptResult, fetch: ImageFetch
    ) -> StoredImage:
        try:
            with self._stage(PictureStage.FETCH, host=host.name):
                fetched = await fetch.images(host, result.images)
            # The screen refuses an album for any of its images.
            for image_file in fetched:
                await self._screen_image(
                    image_file.data, self._spec.prompt.rating, name=image_name(image_file)
                )
        except Rejected:
            await self._delete_history(host)
            self._request = await self._context.requests.end_drawing(
                self._request, leaves_a_stray=False
            )
            raise
        log.info(
            "picture drawn",
            host=host.name,
            prompt_id=str(self._request.prompt_id),
            bytes=sum(len(each.data) for each in fetched),
        )
        image = await self._store(fetched, seconds=result.seconds)
        self._host_to_clean_up, self._data = host, tuple(each.data for each in fetched)
        return image

    async def _store(self, images: Sequence[ImageFile], *, seconds: float | None) -> StoredImage:
        """Store the images and mark the request as drawn.

        While the store is away, a picture for a chat is sent from memory and not stored at all. Its
        request stays `drawing`, so that another job would fetch the image from its host again.
        """
        store = self._context.image_store
        first, *others = images
        album = tuple(image_name(each) for each in others)
        try:
            with self._stage(PictureStage.STORE):
                for each in others:
                    await store.put(each)
                image = replace(await store.put(first), album=album)
        except StoreUnavailable as error:
            if self._request.chat_id is None:  # the caller fetches the picture from the store
                raise
            log.warning("picture is not stored", code=error.code, why=error.sentence)
            return StoredImage(
                name=image_name(first), width=first.width, height=first.height, album=album
            )
        await self._context.requests.mark_drawn(
            self._request, image, url=store.url(image.name), seconds=seconds
        )
        return image

    async def _screen_image(self, data: bytes, rating: Rating, *, name: str) -> None:
        if not await image_screen.image_passes(self._context.image_screen, data, rating):
            error = ImageRefused(language=self._request.language)
            await self._context.safety_audit.record_refusal(self._request, "image", error, name)
            raise error

    async def _delete_history(self, host: HostClient) -> None:
        """Delete the prompt from the host; if that fails it stays listed as a stray."""
        try:
            await host.delete_history(str(self._request.prompt_id))
        except HostLost as error:
            log.warning("prompt not forgotten", host=host.name, why=error.sentence)
            await self._context.requests.add_stray(self._request)
        else:
            await self._context.requests.remove_stray(self._request)


class _LeftHostAnswers(Exception):
    """Nothing was posted, since the host that has an earlier prompt of the request answers again."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host
