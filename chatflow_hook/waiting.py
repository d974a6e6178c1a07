"""What makes waiting cheap: one subscription and one query for all who wait in an event loop.

Redis reports that a request has ended, and the row is the truth. A caller looks at its row at the
beginning, when it is told, and rarely otherwise, since a message of Redis may be lost. While Redis
is away it looks each second.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook import handles, picture, queue, sqlstates, subscription
from chatflow_hook.database import Database
from chatflow_hook.drafts import StoppedDraft
from chatflow_hook.failures import Throttle, cause_of
from chatflow_hook.handles import Handle, SentPhoto
from chatflow_hook.messages import Messages
from chatflow_hook.picture import Picture
from chatflow_hook.queue import QueueClient
from chatflow_hook.tables import ImageRequest, is_any_of

log = structlog.get_logger(__name__)

# How often a caller looks at its row: while nothing can be heard, and while the subscription stands.
POLL_INTERVAL_S = 1.0
RARE_INTERVAL_S = 10.0
_SUBSCRIBE_TIMEOUT_S = 0.8
_RECONNECT_AFTER_S = 1.0
# A subscription on which nothing was heard for so long is asked whether it still stands, and has as
# long to answer.
_PING_AFTER_S = 4.0
# The least time between two queries, so that many callers share one.
_READ_INTERVAL_S = 0.05
_READ_WITHIN_S = 5.0


class EndListener:
    """Hears through Redis that requests have ended, for all who wait in one event loop.

    There is one subscription, from the first `wait` on until nobody has waited for some seconds.
    `close` ends the subscription, and leaves the queue client open.
    """

    def __init__(self, queue_client: QueueClient, *, ping_after_s: float = _PING_AFTER_S) -> None:
        self._queue_client = queue_client
        self._ping_after_s = ping_after_s
        self._is_subscribed = False
        self._callers: dict[str, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None
        self._throttle = Throttle()

    @contextmanager
    def told(self, request_id: UUID | None) -> Iterator[asyncio.Event]:
        """Give an event that is set when the row of a request, or with None any row, is to be read.

        That is when the request has ended, and when the subscription begins or breaks, since an
        end may have been missed. Who waits clears the event before it looks.
        """
        event = asyncio.Event()
        channel = queue.OUR_CHANNELS if request_id is None else queue.ended_channel(request_id)
        events = self._callers.setdefault(channel, set())
        events.add(event)
        try:
            yield event
        finally:
            events.discard(event)
            if not events and self._callers.get(channel) is events:
                del self._callers[channel]

    async def wait(self, event: asyncio.Event, *, within_s: float) -> None:
        """Return when `event` is set, when it is time for another look, or after `within_s` seconds.

        The first call opens the subscription.
        """
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen(), name="chatflow_hook end listener")
        interval_s = RARE_INTERVAL_S if self._is_subscribed else POLL_INTERVAL_S
        with suppress(TimeoutError):
            async with asyncio.timeout(min(within_s, interval_s)):
                await event.wait()

    async def close(self) -> None:
        """End the subscription; may be called twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _listen(self) -> None:
        while self._callers:
            pubsub = self._queue_client.subscription()
            try:
                await pubsub.psubscribe(queue.OUR_CHANNELS)
                await subscription.wait_for_confirmation(pubsub, within_s=_SUBSCRIBE_TIMEOUT_S)
                self._set_subscribed(True)
                await self._read_messages(pubsub)
            except (RedisError, OSError, TimeoutError) as error:
                self._log(error)
            finally:
                await queue.close(pubsub)
                self._set_subscribed(False)
            if self._callers:
                await asyncio.sleep(_RECONNECT_AFTER_S)

    def _log(self, error: Exception) -> None:
        why = self._queue_client.why(error)
        if (untold := self._throttle.admit(why)) is not None:
            log.warning(
                "no word from redis",
                channel=queue.OUR_CHANNELS,
                error=type(error).__name__,
                why=why,
                untold=untold,
            )

    async def _read_messages(self, pubsub: PubSub) -> None:
        """Tell callers of messages, until nobody waits any more.

        Raises:
            TimeoutError: the server does not answer a ping.
            RedisError: the connection broke. An OSError may come instead.
        """
        async for message in subscription.messages(pubsub, ping_after_s=self._ping_after_s):
            if message is not None:
                self._tell(message)
            elif not self._callers:
                return

    def _tell(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "psubscribe":  # redis-py has connected anew by itself
            self._tell_all()
            return
        channel = message["channel"]
        name = channel.decode() if isinstance(channel, bytes) else str(channel)
        if not name.startswith(queue.ENDED_CHANNELS):
            return  # workers tell each other of free slots
        for channels in (name, queue.OUR_CHANNELS):
            for event in self._callers.get(channels, ()):
                event.set()

    def _set_subscribed(self, is_subscribed: bool) -> None:  # noqa: FBT001 (its only argument)
        self._is_subscribed = is_subscribed
        self._tell_all()

    def _tell_all(self) -> None:
        for events in self._callers.values():
            for event in events:
                event.set()


class PictureReader:
    """Reads the rows of requests for all who wait in one event loop, many by one query.

    `age_text_version` is the text that a user must have confirmed to see what is above safe.
    """

    def __init__(self, database: Database, messages: Messages, *, age_text_version: str) -> None:
        self._database = database
        self._messages = messages
        self._age_text_version = age_text_version
        self._asked: dict[Handle, asyncio.Future[tuple[UUID, Picture] | None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._throttle = Throttle()

    async def read(self, handle: Handle) -> tuple[UUID, Picture] | None:
        """Read the picture of a request, and its id; None if there is no such request.

        Takes at most some 10 s. May be cancelled, and then ends at once.

        Raises:
            DATABASE_ERRORS: the database could not be asked, which is logged.
        """
        key = handles.request_id(handle) or handle
        answer = self._asked.get(key)
        if answer is None:
            answer = self._asked[key] = asyncio.get_running_loop().create_future()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._answer(), name="chatflow_hook picture reader")
        await asyncio.wait({answer})
        return answer.result()

    async def close(self) -> None:
        """Cancel what is being read; may be called twice."""
        for answer in self._asked.values():
            answer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _answer(self) -> None:
        while self._asked:
            answers, self._asked = self._asked, {}
            try:
                async with asyncio.timeout(_READ_WITHIN_S):
                    pictures = await self._database.run(partial(self._read, [*answers]))
            except Exception as error:  # noqa: BLE001 (each of the callers raises it)
                self._log(error, waiting=len(answers))
                for answer in answers.values():
                    answer.set_exception(error)
                    answer.exception()  # or asyncio would log it if nobody waits any more
            else:
                for handle, answer in answers.items():
                    answer.set_result(pictures.get(handle))
            finally:
                for answer in answers.values():
                    answer.cancel()  # does nothing to one that has a result
            await asyncio.sleep(_READ_INTERVAL_S)

    async def _read(
        self, asked: Sequence[Handle], connection: AsyncConnection
    ) -> dict[Handle, tuple[UUID, Picture]]:
        ids = {handle: await _find(handle, connection) for handle in asked}
        found = [id_ for id_ in ids.values() if id_ is not None]
        query = picture.QUERY.where(is_any_of(ImageRequest.id, found))
        rows = await connection.execute(query, {"age_text_version": self._age_text_version})
        pictures = dict(picture.of_row(row, self._messages) for row in rows)
        return {
            handle: (id_, pictures[id_])
            for handle, id_ in ids.items()
            if id_ is not None and id_ in pictures
        }

    def _log(self, error: Exception, *, waiting: int) -> None:
        why = cause_of(error).sentence
        if (untold := self._throttle.admit(why)) is not None:
            log.warning(
                "database away",
                why=why,
                waiting=waiting,
                error=type(error).__name__,
                sqlstate=sqlstates.sqlstate(error),
                condition=sqlstates.condition(error),
                untold=untold,
            )


async def _find(handle: Handle, connection: AsyncConnection) -> UUID | None:
    """Return the id of the request that a handle names; only a photo has to be looked up."""
    if not isinstance(handle, SentPhoto | StoppedDraft):
        return handles.request_id(handle)
    return await connection.scalar(select(ImageRequest.id).where(handles.is_meant(handle)))
