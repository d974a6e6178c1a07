"""Drawing: one prompt on one host, from its POST to its confirmed end.

Three witnesses tell of a prompt. The websocket is fast, may be closed, and may be open and deaf;
history and queue are slow, and decide. While the socket talks nothing is polled.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog

from imagegen.comfy import history, websocket
from imagegen.comfy.error_messages import read_refusal
from imagegen.comfy.errors import HostLost, ImageGone, OutOfMemory, PromptLost
from imagegen.comfy.history import OutputImage
from imagegen.comfy.http import HostHTTP
from imagegen.comfy.progress import PromptTracker
from imagegen.comfy.prompt import PromptJob, PromptResult
from imagegen.comfy.prompt_cancel import cancel_prompt
from imagegen.comfy.prompt_status import (
    PromptEnded,
    PromptRunning,
    PromptStatus,
    PromptUnknown,
    find_in_history,
    find_prompt,
)
from imagegen.comfy.timeouts import PromptDeadlines, PromptTimeouts
from imagegen.comfy.websocket import EventQueue, WebSocketLost
from imagegen.errors import ImagegenError

log = structlog.get_logger(__name__)

# The history entry comes up to 7 ms after execution_success on real servers, later where one is
# busy. Once the end was heard there is nothing else to wait for.
_HISTORY_DELAYS_S = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_AWAY_DELAYS_S = (0.1, 0.2, 0.5, 1.0)
# Between sockets, after the first that is opened anew at once.
_REOPEN_S = 1.0
# An old server takes longer than this to let go inside its last node: then it is left behind.
_TAKE_OFF_S = 10.0


class PromptExecution:
    """A prompt of ours on a host. Either `draw` or `resume` is called, once.

    They raise what the host gave instead of a picture: HostLost, HostBusy, HostLacks, PromptLost,
    PromptRefused, DrawingFailed, DrawingTooSlow, DrawingStalled, OutOfMemory, PictureMissing,
    PictureGone, or what `call_off` was given. After that `leaves_a_stray` says whether the prompt
    may still be on the host, for somebody to take it off later. A cancelled call leaves the
    prompt there, for whoever takes the request over.
    """

    def __init__(self, http: HostHTTP, order: PromptJob, limits: PromptTimeouts) -> None:
        clock = asyncio.get_running_loop().time
        self._is_over = True
        self._is_left = False
        self._http = http
        self._order = order
        self._id = order.prompt_id
        self._away_s = limits.away
        self._mailbox = EventQueue()
        self._patience = PromptDeadlines(limits, clock)
        self._hearsay = PromptTracker(order, self._patience, clock)

    @property
    def leaves_a_stray(self) -> bool:
        """Whether the prompt may be on the host with nobody waiting for it."""
        return not (self._is_over or self._is_left)

    async def run(self) -> PromptResult:
        """Post the prompt and follow it to its end."""
        async with self._cancelled_on_failure():
            # Listen before posting: a short prompt is over before a later socket would be there.
            entry = await self._listen(self._post)
            return await self._result(entry or await self._follow())

    async def resume(self) -> PromptResult:
        """Take up a prompt that was posted before; PromptLost if the host knows nothing of it."""
        async with self._cancelled_on_failure():
            self._is_over = False
            entry = await self._handle_status(await self._find_prompt())
            return await self._result(entry or await self._follow())

    def cancel(self, error: ImagegenError, *, leave: bool = False) -> None:
        """Make `draw` or `resume` raise this error once the prompt has been taken off the host.

        `leave` it there where somebody else waits for it.
        """
        self._mailbox.put(_Cancelled(error, leave=leave))

    @asynccontextmanager
    async def _cancelled_on_failure(self) -> AsyncIterator[None]:
        """Leave nothing of ours on the host if the drawing ends in an error."""
        try:
            yield
        except _Cancelled as wish:
            self._is_left = wish.leave
            if self.leaves_a_stray:
                await self._cancel_on_host()
            raise wish.error from None
        except HostLost:
            raise  # it would not listen
        except ImagegenError as error:
            if self.leaves_a_stray:
                await self._cancel_on_host()
            if isinstance(error, OutOfMemory):
                await self._post_quietly("/free", {"unload_models": True, "free_memory": True})
            raise

    async def _post(self) -> Any:
        """Post; a lost answer is looked for, since to post again would draw twice."""
        await self._order.before_post()
        self._is_over = False
        try:
            status, answer = await self._http.ask("/prompt", self._post_body())
        except HostLost as error:
            log.warning("answer lost", host=self._http.name, prompt_id=self._id, why=error.sentence)
            sighting = await self._find_prompt()
            if isinstance(sighting, PromptUnknown):
                raise
            return await self._handle_status(sighting)
        self._is_over = status == 400
        if self._is_over or answer.get("node_errors"):
            # With a 200 the host draws what is left of the graph, which nobody asked for.
            raise read_refusal(self._http.name, self._order.graph, answer)
        log.info("prompt queued", host=self._http.name, prompt_id=self._id)
        return None

    def _post_body(self) -> dict[str, Any]:
        return {
            "prompt": self._order.graph,
            "prompt_id": self._id,
            "client_id": self._id,
            "extra_data": self._order.extra_data,
        }

    async def _follow(self) -> Any:
        """Listen through one socket after another until the end; return its history entry."""
        for reopened in itertools.count():
            if reopened:
                await asyncio.sleep(_REOPEN_S)
            if (entry := await self._listen(self._reopen)) is not None:
                return entry
        raise AssertionError

    async def _reopen(self) -> None:
        self._patience.reconnected()

    async def _listen(self, begin: Callable[[], Awaitable[Any]]) -> Any:
        """Follow the prompt through one socket; return None if another may hear more."""
        try:
            async with websocket.listening(self._http, self._id, self._mailbox):
                return await begin() or await self._next_status()
        except WebSocketLost as error:
            if self._is_over:  # it was not even posted
                raise
            log.info("feed lost", host=self._http.name, prompt_id=self._id, why=error.sentence)
            return await self._handle_status(await self._find_prompt())

    async def _next_status(self) -> Any:
        while True:
            event = None
            if not self._patience.is_due:
                event = await self._mailbox.next(until=self._patience.wakes_at)
            if event is None:
                entry = await self._handle_status(await self._find_prompt())
                if entry is not None or self._patience.is_deaf:
                    return entry
            elif self._hearsay.receive(event):
                return await self._confirmed()

    async def _handle_status(self, sighting: PromptStatus) -> Any:
        """Draw the consequences of a look; return the entry if the prompt is over."""
        self._patience.status_checked()
        match sighting:
            case PromptEnded():
                return sighting.entry
            case PromptUnknown():
                self._is_over = True
                raise PromptLost(f"{self._http.name} knows nothing of {self._id}")
            case PromptRunning():
                self._patience.drawing_started()
            case _:
                pass
        if (fault := self._patience.timeout_error(self._http.name)) is not None:
            raise fault
        return None

    async def _find_prompt(self) -> PromptStatus:
        """Look, through a hiccup of the host or of the way to it."""
        lost = HostLost(f"{self._http.name} was out of reach for {self._away_s:g} s")
        clock = asyncio.get_running_loop().time
        # Asked for each time: a limit of the call's own that passes in the same moment swallows
        # the cancellation with which a timeout around the whole loop would end it.
        ends_at = clock() + self._away_s
        for pause in itertools.chain(_AWAY_DELAYS_S, itertools.repeat(_AWAY_DELAYS_S[-1])):
            try:
                async with asyncio.timeout_at(ends_at):
                    return await find_prompt(self._http, self._id)
            except HostLost as error:
                lost = error
            except TimeoutError:
                break
            if clock() + pause >= ends_at:
                break
            await asyncio.sleep(pause)
        raise lost

    async def _confirmed(self) -> Any:
        """Return the entry of a prompt whose end was heard."""
        for delay in _HISTORY_DELAYS_S:
            await asyncio.sleep(delay)
            try:
                sighting = await find_in_history(self._http, self._id)
            except HostLost:
                break  # looked for below, with more patience
            if isinstance(sighting, PromptEnded):
                return sighting.entry
        return await self._handle_status(await self._find_prompt())

    async def _result(self, entry: Any) -> PromptResult:
        self._is_over = True
        seconds = self._hearsay.seconds
        try:
            pictures = self._images(entry)
        except ImagegenError:
            # What went wrong is known, and nobody else needs the entry.
            await self._post_quietly("/history", {"delete": [self._id]})
            raise
        self._hearsay.end()
        return PromptResult(pictures=pictures, seconds=seconds)

    def _images(self, entry: Any) -> tuple[OutputImage | bytes, ...]:
        if not self._order.comes_through_socket:
            return history.read(self._http.name, self._id, entry, self._order.node)
        history.expect_success(self._http.name, self._id, entry)
        if not self._hearsay.pictures:
            raise ImageGone(f"{self._http.name} sent its picture while nobody listened")
        return tuple(self._hearsay.pictures)

    async def _cancel_on_host(self) -> None:
        try:
            self._is_over = await cancel_prompt(self._http, self._id, within_s=_TAKE_OFF_S)
        except HostLost as error:
            log.warning("not taken off", host=self._http.name, why=error.sentence)

    async def _post_quietly(self, path: str, body: dict[str, Any]) -> None:
        try:
            await self._http.post(path, body)
        except HostLost as error:
            log.warning("host not told", host=self._http.name, path=path, why=error.sentence)


class _Cancelled(Exception):
    def __init__(self, error: ImagegenError, *, leave: bool) -> None:
        super().__init__(error.sentence)
        self.error = error
        self.leave = leave
