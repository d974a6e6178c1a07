"""PromptExecution: one prompt on one host, from its POST to its confirmed end.

There are three sources for a prompt's status. The websocket is fast, but it may close, and it may
stay open and silent. The history and the queue are slow to ask, and they decide. While the
websocket delivers events, nothing is polled (docs/decisions/0009-three-witnesses.md).
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog

from imagegen.comfy import history, websocket
from imagegen.comfy.error_messages import read_refusal
from imagegen.comfy.errors import HostBusy, HostLost, ImageGone, OutOfMemory, PromptLost
from imagegen.comfy.history import OutputImage
from imagegen.comfy.http import HostHTTP
from imagegen.comfy.progress import PromptTracker
from imagegen.comfy.prompt_cancel import cancel_prompt
from imagegen.comfy.prompt_job import PromptJob, PromptResult
from imagegen.comfy.prompt_status import (
    PromptEnded,
    PromptQueued,
    PromptRunning,
    PromptStatus,
    PromptUnknown,
    find_in_history,
    find_in_queue,
    find_prompt,
)
from imagegen.comfy.reference_pictures import ensure_on_host
from imagegen.comfy.timeouts import PromptDeadlines, PromptTimeouts
from imagegen.comfy.websocket import EventQueue, WebSocketLost
from imagegen.errors import ImagegenError
from imagegen.metrics import PromptTimes

log = structlog.get_logger(__name__)

# A real server writes the history entry up to 7 ms after execution_success, a busy one later.
# After the end event there is nothing else to wait for, so the first delays are short.
_HISTORY_DELAYS_S = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
# Between attempts to ask a host that is unreachable.
_AWAY_DELAYS_S = (0.1, 0.2, 0.5, 1.0)
# Before each new websocket after the first reconnect, which is made at once.
_RECONNECT_DELAY_S = 1.0


class PromptExecution:
    """One prompt of ours on a host. Call either `run` or `resume`, once.

    Both return the images or raise what the host gave instead of them (see errors.py), or the
    error that was given to `cancel`. After an error the prompt is cancelled on the host, unless
    the host is lost; `leaves_a_stray` then says whether it may still be there, so that somebody
    must cancel it later. If the task that calls `run` or `resume` is cancelled, the prompt stays
    on the host, for the job that takes the request over.
    """

    def __init__(self, http: HostHTTP, job: PromptJob, limits: PromptTimeouts) -> None:
        clock = asyncio.get_running_loop().time
        # Whether the prompt is certainly not in the host's queue and not running.
        self._is_off_host = True
        self._is_left_to_another_job = False
        self._http = http
        self._job = job
        self._id = job.prompt_id
        self._unreachable_s = limits.unreachable_s
        self._cancel_s = limits.cancel_s
        self._events = EventQueue()
        self._deadlines = PromptDeadlines(limits, clock)
        self._tracker = PromptTracker(job, self._deadlines, clock)
        self._clock = clock
        self._posted_at: float | None = None

    @property
    def leaves_a_stray(self) -> bool:
        """Whether the prompt may be on the host with no job waiting for it."""
        return not (self._is_off_host or self._is_left_to_another_job)

    def times(self, *, ready_at: float) -> PromptTimes:
        """Return when the prompt was posted, started and so on, on the event loop's clock.

        It ends now. `ready_at`: since when the picture waited for a slot.
        """
        return PromptTimes(
            ready_at=ready_at,
            posted_at=self._posted_at,
            started_at=self._tracker.started_at,
            first_step_at=self._tracker.first_step_at,
            ended_at=self._clock(),
        )

    async def run(self) -> PromptResult:
        """Post the prompt and follow it to its end.

        Raises:
            HostLost: the host does not answer.
            HostBusy: the prompt did not start within `queue_s`, and gives up its place.
            HostLacks: the host lacks a model file, a node class or a picture of the graph.
            PromptLost: the host no longer has the prompt, or it was interrupted.
            PromptRefused: the host does not accept the graph.
            DrawingFailed: a node raised an exception.
            LoadingTooSlow: no sampler made a step within `loading_s`.
            DrawingTooSlow: the prompt ran longer than `drawing_s`.
            DrawingStalled: the prompt made no progress for `silence_s`.
            OutOfMemory: a node ran out of memory.
            ImageMissing: the prompt ended well and made no image.
            ImageGone: the host sent its image through a websocket while we had none open.
        """
        async with self._cancelled_on_failure():
            # Listen before posting: a short prompt may end before a later websocket is open.
            entry = await self._listen(self._post)
            return await self._result(entry or await self._follow())

    async def resume(self) -> PromptResult:
        """Follow a prompt that was posted before.

        Raises:
            PromptLost: the host does not have the prompt. Other errors are those of `run`.
        """
        async with self._cancelled_on_failure():
            self._is_off_host = False
            entry = await self._handle_status(await self._find_prompt())
            return await self._result(entry or await self._follow())

    def cancel(self, error: ImagegenError, *, leave: bool = False) -> None:
        """Make `run` or `resume` cancel the prompt on the host and then raise this error.

        `leave`: do not cancel it on the host, because another job waits for it.
        """
        self._events.put(_Cancelled(error, leave=leave))

    @property
    def has_begun(self) -> bool:
        """Whether the host has begun to draw the prompt, as far as is known."""
        return self._deadlines.has_begun

    async def ahead(self) -> int | None:
        """Ask the host how many prompts it draws before this one; None if it does not wait there.

        Raises:
            HostLost: the host does not answer.
        """
        status = await find_in_queue(self._http, self._id)
        return status.ahead if isinstance(status, PromptQueued) else None

    async def withdraw(self, error: ImagegenError) -> bool:
        """Take the prompt off the host if it has not begun; then `run` or `resume` raises this error.

        False: it has begun, or may have, and is drawn. May be cancelled, and must be if the prompt
        has ended meanwhile: then nothing answers.
        """
        withdrawal = _Withdrawal(error)
        self._events.put(withdrawal)
        return await withdrawal.is_off

    @asynccontextmanager
    async def _cancelled_on_failure(self) -> AsyncIterator[None]:
        """Cancel the prompt on the host if the block raises one of our errors."""
        try:
            yield
        except _Cancelled as cancelled:
            self._is_left_to_another_job = cancelled.leave
            if self.leaves_a_stray:
                await self._cancel_on_host()
            raise cancelled.error from None
        except HostLost:
            raise  # nothing can be cancelled on a host that does not answer
        except ImagegenError as error:
            if self.leaves_a_stray:
                await self._cancel_on_host()
            if isinstance(error, OutOfMemory):
                await self._post_best_effort("/free", {"unload_models": True, "free_memory": True})
            raise

    async def _listen(self, begin: Callable[[], Awaitable[Any]]) -> Any:
        """Follow the prompt through one websocket, after `begin`.

        Return the prompt's history entry, or None if a new websocket is needed.
        """
        try:
            async with websocket.listening(
                self._http, self._id, self._events, opens_within_s=self._unreachable_s
            ):
                return await begin() or await self._read_events()
        except WebSocketLost as error:
            if self._is_off_host:  # the prompt has not been posted yet
                raise
            log.info("feed lost", host=self._http.name, prompt_id=self._id, why=error.sentence)
            return await self._handle_status(await self._find_prompt())

    async def _post(self) -> Any:
        """Post the prompt; return its history entry if it has already ended, else None.

        If the answer is lost, the prompt is searched on the host: posting it again would draw it
        twice.
        """
        for picture in self._job.pictures:
            await ensure_on_host(self._http, picture)
        await self._job.before_post()
        self._is_off_host = False
        self._posted_at = self._clock()
        body = {
            "prompt": self._job.graph,
            "prompt_id": self._id,
            "client_id": self._id,
            "extra_data": self._job.extra_data,
        }
        try:
            http_status, answer = await self._http.post_json("/prompt", body)
        except HostLost as error:
            log.warning("answer lost", host=self._http.name, prompt_id=self._id, why=error.sentence)
            status = await self._find_prompt()
            if isinstance(status, PromptUnknown):
                raise
            return await self._handle_status(status)

        self._is_off_host = http_status == 400
        if self._is_off_host or answer.get("node_errors"):
            # Node errors with a 200: the host draws the valid rest of the graph, which is useless.
            raise read_refusal(self._http.name, self._job.graph, answer)
        log.info("prompt queued", host=self._http.name, prompt_id=self._id)
        return None

    async def _follow(self) -> Any:
        """Listen through one websocket after another; return the prompt's history entry."""
        for attempt in itertools.count():
            if attempt:
                await asyncio.sleep(_RECONNECT_DELAY_S)
            if (entry := await self._listen(self._note_reconnect)) is not None:
                return entry
        raise AssertionError

    async def _note_reconnect(self) -> None:
        self._deadlines.reconnected()

    async def _read_events(self) -> Any:
        """Read events until the prompt has ended; return its history entry.

        Return None if the websocket is silent while the prompt runs.
        """
        while True:
            event = None
            try:
                if not self._deadlines.is_due:
                    event = await self._events.next(until=self._deadlines.wakes_at)
            except _Withdrawal as withdrawal:
                await self._withdraw(withdrawal)
                continue
            if event is None:
                entry = await self._handle_status(await self._find_prompt())
                if entry is not None or self._deadlines.needs_reconnect:
                    return entry
            elif self._tracker.receive(event):
                return await self._entry_after_end_event()

    async def _withdraw(self, withdrawal: "_Withdrawal") -> None:
        """Raise the error of the withdrawal if the prompt could be taken off the host in time."""
        is_off = False
        try:
            # Only a prompt that waits is deleted: one that has begun goes on.
            await self._http.post("/queue", {"delete": [self._id]})
            is_off = isinstance(await self._find_prompt(), PromptUnknown)
        finally:
            if not withdrawal.is_off.done():
                withdrawal.is_off.set_result(is_off)
        if is_off:
            self._is_off_host = True
            raise withdrawal.error

    async def _handle_status(self, status: PromptStatus) -> Any:
        """Act on the prompt's status: return its history entry if it has ended, None if not.

        Raises:
            PromptLost: the host does not have the prompt.
            HostBusy, LoadingTooSlow, DrawingTooSlow, DrawingStalled: a deadline has passed.
        """
        self._deadlines.status_checked()
        match status:
            case PromptEnded():
                return status.entry
            case PromptUnknown():
                self._is_off_host = True
                raise PromptLost(f"{self._http.name} knows nothing of {self._id}")
            case PromptRunning():
                self._tracker.begin()
            case PromptQueued():
                pass
        error = self._deadlines.timeout_error(self._http.name)
        match status, error:
            case PromptQueued(ahead=ahead), HostBusy() if not self._job.gives_up_place(ahead):
                self._deadlines.keeps_place()
                return None
        if error is not None:
            raise error
        return None

    async def _find_prompt(self) -> PromptStatus:
        """Ask the host for the prompt's status, again and again while the host is unreachable.

        Raises:
            HostLost: the host was unreachable for the whole of `unreachable_s`.
        """
        lost = HostLost(f"{self._http.name} was out of reach for {self._unreachable_s:g} s")
        clock = asyncio.get_running_loop().time
        # Each attempt has its own timeout, and the loop compares the time itself. One timeout
        # around the whole loop ends it by a cancellation, and a timeout inside the call that
        # passes in the same moment swallows that cancellation.
        ends_at = clock() + self._unreachable_s
        for delay_s in itertools.chain(_AWAY_DELAYS_S, itertools.repeat(_AWAY_DELAYS_S[-1])):
            try:
                async with asyncio.timeout_at(ends_at):
                    return await find_prompt(self._http, self._id)
            except HostLost as error:
                lost = error
            except TimeoutError:
                break
            if clock() + delay_s >= ends_at:
                break
            await asyncio.sleep(delay_s)
        raise lost

    async def _entry_after_end_event(self) -> Any:
        """Return the history entry of a prompt whose end event has arrived."""
        for delay_s in _HISTORY_DELAYS_S:
            await asyncio.sleep(delay_s)
            try:
                status = await find_in_history(self._http, self._id)
            except HostLost:
                break  # _find_prompt below waits longer for the host
            if isinstance(status, PromptEnded):
                return status.entry
        return await self._handle_status(await self._find_prompt())

    async def _result(self, entry: Any) -> PromptResult:
        self._is_off_host = True
        seconds, loading_s = self._tracker.seconds, self._tracker.loading_s
        try:
            images = self._images(entry)
        except ImagegenError:
            # The error is read from the entry, which has no further use.
            await self._post_best_effort("/history", {"delete": [self._id]})
            raise
        self._tracker.end()
        return PromptResult(images=images, seconds=seconds, loading_s=loading_s)

    def _images(self, entry: Any) -> tuple[OutputImage | bytes, ...]:
        if not self._job.sends_images:
            return history.read(self._http.name, self._id, entry, self._job.node)
        history.expect_success(self._http.name, self._id, entry)
        if not self._tracker.images:
            raise ImageGone(f"{self._http.name} sent its picture while nobody listened")
        return tuple(self._tracker.images)

    async def _cancel_on_host(self) -> None:
        try:
            self._is_off_host = await cancel_prompt(self._http, self._id, within_s=self._cancel_s)
        except HostLost as error:
            log.warning("not taken off", host=self._http.name, why=error.sentence)

    async def _post_best_effort(self, path: str, body: dict[str, Any]) -> None:
        try:
            await self._http.post(path, body)
        except HostLost as error:
            log.warning("host not told", host=self._http.name, path=path, why=error.sentence)


class _Cancelled(Exception):
    """Put into the event queue by `cancel`, and raised by its reader."""

    def __init__(self, error: ImagegenError, *, leave: bool) -> None:
        super().__init__(error.sentence)
        self.error = error
        self.leave = leave


class _Withdrawal(Exception):
    """Put into the event queue by `withdraw`; its reader tells whether the prompt is off the host."""

    def __init__(self, error: ImagegenError) -> None:
        super().__init__(error.sentence)
        self.error = error
        self.is_off: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
