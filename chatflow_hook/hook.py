"""ChatFlowHook: what a bot calls at each turn of a conversation."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import tzinfo
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

from chatflow_hook import (
    age_confirmation,
    buttons,
    cancellation,
    covers,
    database,
    handles,
    picture_intent,
    safety_memory,
    sessions,
    user_erasure,
    waiting,
)
from chatflow_hook.age_questions import AgeQuestions
from chatflow_hook.buttons import ButtonAnswer, Buttons, Press
from chatflow_hook.connections import Connections, ConnectionsByLoop
from chatflow_hook.database import DatabaseFault
from chatflow_hook.ends import EndReader, EndTimes, OnEnd
from chatflow_hook.failures import FailureLog, Throttle, cause_of
from chatflow_hook.handles import Handle
from chatflow_hook.limited_message import LimitedMessage, limited_message
from chatflow_hook.manual_requests import Asked, ManualRequests, PhotoOnItsWay
from chatflow_hook.messages import messages_of
from chatflow_hook.metrics import GuardedMetrics, HookMetrics
from chatflow_hook.outbox import Request, TriggerSettings
from chatflow_hook.picture import Picture
from chatflow_hook.queue import QueueClient
from chatflow_hook.quota import Limited
from chatflow_hook.settings import HookSettings, read
from chatflow_hook.tracing import Tracing
from chatflow_hook.turn import DialogKey, Turn, dialog_number
from chatflow_hook.turn_recorder import TurnRecorder
from chatflow_hook.user_erasure import Forgotten

log = structlog.get_logger(__name__)

# The limit for one step of a turn. A picture may be late; the bot's answer in the chat may not.
TURN_TIMEOUT_S = 0.9
END_TIMES = EndTimes()
# Between looks whether a photo that is in the chat is delivered in its row, too.
_LOOK_AGAIN_S = 0.05

ResultT = TypeVar("ResultT")


class ChatFlowHook:
    """Decides when a picture is due, inserts its request and tells the worker.

    One object serves all handlers of a bot: its methods may run at the same time, and in any event
    loop. Creating it touches no network. It opens its connections at first use, in each event loop
    its own (at most 10 to PostgreSQL); `close`, or leaving `async with`, closes those of the running
    loop, and so does the end of a loop under `asyncio.run`. `chance` is the source of the
    trigger's random numbers, for tests; None is the operating system's. `turn_timeout_s` is how
    long a turn may take, in seconds; a test on a busy machine gives more. `end_times` are those of
    `on_end`, for tests too. `metrics` is told what the hook does. `tracer_provider` is one of
    OpenTelemetry; None is the process's own, if it has set one.

    Raises:
        BadSetting: MESSAGES_FILE cannot be used. It is a ValueError.
    """

    def __init__(  # noqa: PLR0913 (settings, the others by name and most of them for tests)
        self,
        settings: HookSettings,
        *,
        chance: random.Random | None = None,
        turn_timeout_s: float = TURN_TIMEOUT_S,
        end_times: EndTimes = END_TIMES,
        metrics: HookMetrics | None = None,
        tracer_provider: Any = None,
    ) -> None:
        self._metrics = GuardedMetrics(metrics)
        self._tracing = Tracing(tracer_provider)
        self._turn_timeout_s = turn_timeout_s
        self._end_times = end_times
        self._chance = chance or random.SystemRandom()
        self._manual_requests = ManualRequests(quota=settings.quota)
        self._hash_secret = settings.hash_secret
        self._age = AgeQuestions(
            text_version=settings.age_text_version, hash_secret=settings.hash_secret
        )
        self._failures = FailureLog()
        self._throttle = Throttle()
        self._recorder = TurnRecorder(
            TriggerSettings(distance=settings.distance, quota=settings.quota, chance=self._chance),
            timeout_s=turn_timeout_s,
            failures=self._failures,
            metrics=self._metrics,
        )
        self._messages = messages_of(settings)
        self._buttons = Buttons(self._manual_requests, self._messages)
        self._connections = ConnectionsByLoop(
            lambda: Connections(settings, self._messages, self._recorder)
        )

    @classmethod
    def from_env(cls, *, metrics: HookMetrics | None = None) -> Self:
        """Create a hook from the environment variables and a `.env` file; touches no network.

        DATABASE_URL must be set, all other variables have defaults. `metrics` is told what the hook
        does.

        Raises:
            BadSetting: a variable is missing or wrong. It is a ValueError, and its message names
                the variable and what it may be, never a password.
        """
        return cls(read(HookSettings), metrics=metrics)

    async def on_turn(
        self,
        turn: Turn,
        session: AsyncSession | async_scoped_session[AsyncSession] | AsyncConnection | None = None,
    ) -> Request | None:
        """Count the turn's message, and return a request if a picture is due, else None.

        With a `session`, or a connection, of any asynchronous driver, everything happens in a
        savepoint of its transaction: call this last before the commit, and `enqueue` after it.
        Without one, the hook commits a transaction of its own and tells the worker itself.

        None also means that an automatic picture of the dialog is under way, that
        `turn.is_refresh` is set, that the user has reached the daily limit, or that the hook
        failed: no tables, no such dialog, no database, no time left. A failure is logged, and
        the session's transaction stays usable.

        A message is known again by `turn.reply_to_message_id`, among the dialog's last 100: the
        second call counts nothing and returns the request that the first one returned. Without
        it each call is a new message, except that the same `turn.message_count` twice in a row
        is one message.

        Takes at most 0.9 s without a session. With one, the statements share 0.8 s, which the
        server enforces; flushing what is pending in the session, waiting for its connection, and
        a server that does not answer at all take as long as the bot's own engine allows. If the
        call is cancelled, roll the session back.

        Raises:
            TypeError: `session` is not an asynchronous session or connection of SQLAlchemy.
            SQLAlchemyError: what was pending in `session` could not be flushed, or its engine
                has no connection. The driver's own exceptions may come instead.
        """
        started = time.monotonic()
        if session is not None:
            sessions.require_async(session)
        if not self._recorder.is_recordable(turn):
            return None
        with self._tracing.span("on_turn"):
            if session is not None:
                # Not in a `try`: what the bot has pending fails as the bot's own error, as it would
                # at the bot's commit.
                connection = await sessions.connection_of(session)
                return await self._recorder.record_in_session(connection, turn, started=started)
            connections = self._connections.current
            request = await self._recorder.record_in_own_transaction(
                connections.database, connections.turn_counts, turn, started=started
            )
            if request is not None:
                left_s = started + self._turn_timeout_s - time.monotonic()
                await self._tell_worker(request, within_s=left_s)
            return request

    async def enqueue(self, request: Request | None) -> None:
        """Tell the worker of a request that is committed; None, from `on_turn`, does nothing.

        Takes at most 0.9 s and never raises. If Redis does not take it in that time, this is
        logged, and the worker finds the request in PostgreSQL by itself. May be called again for
        the same request, and may be cancelled.
        """
        if request is not None:
            await self._tell_worker(request, within_s=self._turn_timeout_s)

    async def wait(self, request: Handle, *, timeout: float) -> Picture:  # noqa: ASYNC109 (ours)
        """Return the picture when its request has ended, or after `timeout` seconds as it is then.

        `request` is the request, its id, or what is in the chat: its photo, its status message or
        its draft, the latter two while it is open at the first look. `Picture.state` tells whether it
        has ended, and how. A `timeout` of 0 or less looks once and returns. For callers that want the picture
        themselves, such as an HTTP API; in a chat the worker sends it. Several callers may wait for
        one request; a cancelled wait changes nothing.

        The end is seen at once through Redis, within a second without, and within ten seconds if
        Redis loses the message. All callers share one subscription and one query. The last look
        at the database, when the time is over, takes at most 0.9 s more.

        Raises:
            LookupError: there is no such request: it was rolled back, or its user was erased.
            TimeoutError: the time is over and the database could not be asked.
        """
        deadline = time.monotonic() + timeout
        ends = self._connections.current.ends
        with ends.told(handles.request_id(request)) as event:
            while True:
                event.clear()
                found = await self._read_picture(request, deadline=deadline)
                left_s = deadline - time.monotonic()
                if found is not None:
                    # By its id from now on: a draft and a status message name it while it is open.
                    request, current = found
                    if left_s <= 0 or not current.state.is_open:
                        return current
                if left_s <= 0:
                    raise TimeoutError("the database does not answer")
                within_s = left_s if found is not None else min(left_s, waiting.POLL_INTERVAL_S)
                await ends.wait(event, within_s=within_s)

    async def status(self, request: Handle) -> Picture:
        """Return the picture as it is now, as `wait` with a `timeout` of 0.

        `request` is the request, its id, or its photo in the chat. Takes at most 0.9 s. May be
        cancelled.

        Raises:
            LookupError: there is no such request: it was rolled back, or its user was erased.
            TimeoutError: the database could not be asked.
        """
        return await self.wait(request, timeout=0)

    async def on_end(self, callback: OnEnd) -> None:
        """Call `callback` with each request that has ended; runs until it is cancelled.

        Start it as a task of its own, in every process of the bot: the processes share the ends.
        An end is told at least once: until the callback has returned, also after an outage or a
        restart of bot, Redis or database. So the callback has to know an end again by
        `end.request.id`. Up to 10 ends are told at the same time, in any order. A callback that
        raises, or takes longer than 30 s, is logged and called again after a minute.

        The first call for a database begins with the ends from then on. An end is seen at once
        through Redis, within a second without, and within 5 s if Redis loses the message. If it is
        cancelled, ends whose callback had not returned are told again.
        """
        ends = self._connections.current.ends
        reader = EndReader(
            self._database,
            ends,
            self._messages,
            self._end_times,
            age_text_version=self._age.text_version,
        )
        await reader.run(callback)

    async def ask(self, turn: Turn) -> Request | Limited:
        """Request a picture of this turn now, or return Limited if the user has had their share.

        The turn's message is not counted; call `on_turn` for it too, in either order. The request
        is committed in a transaction of the hook's own, and the worker is told. While a picture
        that was asked for is under way in the dialog, its request is returned, whatever the limits
        are. An automatic one of the same message that still waits is cancelled; without a
        `turn.message_count` one of the last message that was counted. Words that may speak of
        somebody under 18 are noted for the worker to read, whatever is returned. Takes at most
        17 s: 15 s for the database, 2 s for Redis. If it is cancelled, the request may have been
        written.

        Raises:
            DatabaseFault: the database could not do it.
            DialogUnknownError: the bot has a `dialogs` table of its own without this dialog. It is
                a LookupError.
        """

        async def step(connection: AsyncConnection) -> Asked:
            ownership = await self._recorder.ownership(connection)
            return await self._manual_requests.ask(connection, turn, ownership=ownership)

        with self._tracing.span("ask"):
            asked = await self._database.run_with_retries(step)
            await asyncio.gather(
                self._enqueue_if_allowed(asked.answer), self._queue.publish_ended(asked.superseded)
            )
        return asked.answer

    async def vary(
        self,
        request_id: Handle,
        *,
        reply_to_message_id: int | None = None,
        user_id: int | None = None,
    ) -> Request | Limited:
        """Request another picture of a delivered picture's scene, or return Limited.

        `request_id` is the delivered picture's request, the id of that, or the photo in the chat.
        `reply_to_message_id` is the message that asks for it, which the photo answers; None is the
        message that the varied picture answers. `user_id` is who asks: only the user whose picture
        it is may have another one, since their share pays; None is not compared. No message is
        counted, and the new picture does not move the trigger. Each call is another picture. A
        photo that has just come, and whose delivery is being written down, is waited for. Takes at
        most 16.8 s: 15 s for the database, 0.9 s for that wait and for Redis each. If it is
        cancelled, the request may have been written.

        Raises:
            NothingToVary: there is no such delivered picture of this user, or the words of the
                bot's own `prompt` are not kept any more. It is a LookupError.
            DatabaseFault: the database could not do it.
        """
        with self._tracing.span("vary"):
            answer = await self._on_photo(
                lambda connection: self._manual_requests.vary(
                    connection,
                    request_id,
                    user_id=user_id,
                    reply_to_message_id=reply_to_message_id,
                )
            )
            return await self._enqueue_if_allowed(answer)

    async def on_button(  # noqa: PLR0913 (of Telegram's callback query, by name)
        self,
        data: str | None,
        *,
        user_id: int,
        chat_id: int,
        press_id: str | None = None,
        language: str | None = None,
        zone: tzinfo | None = None,
    ) -> ButtonAnswer | None:
        """Carry out a press of a button under a picture, and return what to answer; None: not ours.

        `data`, `user_id`, `press_id` and `language` are the `data`, `from.id`, `id` and
        `from.language_code` of Telegram's callback query, `chat_id` is that of its message; `zone`
        is the person's time zone, without which a time is told in UTC. Another
        picture, the file and hiding are for the user whose picture it is, whose share pays; everybody
        in its chat may report it. A press that cannot be carried out is answered with the reason,
        also while the database is away. The same press twice, and a second press while the first is
        under way, do nothing more. A photo that has just come, and whose delivery is being written
        down, is waited for. Takes at most 16.8 s: 15 s for the database, 0.9 s for that wait and for
        Redis each. If it is cancelled, the press may have been carried out.
        """
        if data is None or not buttons.is_ours(data):
            return None
        press = Press(
            data=data,
            user_id=user_id,
            chat_id=chat_id,
            press_id=press_id,
            language=language,
            zone=zone,
        )
        with self._tracing.span("on_button"):
            try:
                pressed = await self._on_photo(
                    lambda connection: self._buttons.press(connection, press)
                )
            except DatabaseFault as error:
                return self._not_carried_out(press, why=str(error))
            except PhotoOnItsWay:
                return self._not_carried_out(
                    press, why="the photo's delivery is being written down"
                )
            if pressed.varied is not None:
                self._metrics.asked(is_limited=isinstance(pressed.varied, Limited))
            await self.enqueue(pressed.answer.request)
            return pressed.answer

    @staticmethod
    def wants_picture(text: str, model_says: bool | None = None) -> bool:  # noqa: FBT001 (an opinion)
        """Return whether a message asks for a picture, in English or Russian.

        `model_says` is the opinion of the bot's language model, None without one: it decides where
        the words do not, such as for "I wonder how you look today". For a plain request, and for
        "no photos please", the words decide. The same for the same text, without the network; it
        takes about 0.1 ms for a usual message, and at most some milliseconds for a long one. May be called
        as often as wanted.
        """
        return picture_intent.wants_picture(text, model_says=model_says)

    async def on_dialog_start(self, turn: Turn) -> Request | None:
        """Request that one of the persona's covers is sent, never the user's last one again.

        The dialog begins anew: what was learnt of its persona does not keep it safe any more. The
        covers were drawn ahead by `imagegen covers`. No message is counted, and `turn.text`
        may be empty. None means that the persona has no other cover, or that the hook failed,
        which is logged. Never raises. Takes at most 1.8 s: 0.9 s for the database and as much for
        Redis. Each call sends another cover; if it is cancelled, the request may have been
        written.
        """
        started = time.monotonic()

        async def step(connection: AsyncConnection) -> Request | None:
            limited = self._recorder.limited(connection, started=started)
            await safety_memory.begin_anew(limited, turn.dialog_id)
            return await covers.send_one(limited, turn, chance=self._chance)

        with self._tracing.span("on_dialog_start"):
            try:
                async with asyncio.timeout(self._turn_timeout_s):
                    request = await self._database.run(step)
            except database.DATABASE_ERRORS as error:
                self._failures.log_failure(turn, cause_of(error), started, error)
                return None
            await self.enqueue(request)
        return request

    async def confirm_age(self, user_id: int, *, language: str | None = None) -> bool:
        """Store that a user has confirmed to be of age, to the text of AGE_TEXT_VERSION.

        `user_id` is the Telegram id; `language` is that of the text, and is kept for the record.
        Returns False, and stores nothing, if the user has said to be under 18 in the last 30 days:
        see `may_ask_age`. May be called again: the newest confirmation replaces the one before, a
        revoked one too. Takes at most 15 s. If it is cancelled, it may have been stored.

        Raises:
            DatabaseFault: the database could not do it.
        """
        return await self._database.run_with_retries(
            lambda connection: self._age.confirm(connection, user_id, language=language)
        )

    async def may_ask_age(self, user_id: int) -> bool:
        """Return whether to ask a user for their age: they have not confirmed it, and may do so now.

        False also for 30 days after the user has said to be under 18, unless an operator lifts it;
        `confirm_age` has no effect meanwhile. Takes at most 15 s. May be cancelled.

        Raises:
            DatabaseFault: the database could not be asked.
        """
        return await self._database.run_with_retries(
            lambda connection: self._age.may_ask(connection, user_id)
        )

    async def claim_age_question(self, user_id: int) -> bool:
        """Return whether to ask a user for their age now, and note that they were asked.

        True once for each user and each AGE_TEXT_VERSION, in all processes of the bot together and
        after every restart, where `may_ask_age` is true. Whoever cannot send the question then
        calls `release_age_question`. Takes at most 15 s. If it is cancelled, it may have been noted.

        Raises:
            DatabaseFault: the database could not do it.
        """
        return await self._database.run_with_retries(
            lambda connection: self._age.claim(connection, user_id)
        )

    async def release_age_question(self, user_id: int) -> None:
        """Note that a user was not asked for their age after all: the next claim is True again.

        May be called again. Takes at most 15 s. If it is cancelled, it may have been noted.

        Raises:
            DatabaseFault: the database could not do it.
        """
        query = age_confirmation.release_question(user_id)
        await self._database.run_with_retries(lambda connection: connection.execute(query))

    async def revoke_age(self, user_id: int) -> None:
        """Store that a user's age confirmation holds no longer, also for pictures under way.

        Without a confirmation it does nothing. May be called again. Takes at most 15 s. If it is
        cancelled, it may have been stored.

        Raises:
            DatabaseFault: the database could not do it.
        """
        await self._database.run_with_retries(
            lambda connection: connection.execute(age_confirmation.revoke(user_id))
        )

    async def has_confirmed_age(self, user_id: int) -> bool:
        """Return whether a user has confirmed the text of AGE_TEXT_VERSION, and not revoked it.

        A confirmation of another version of the text does not count: ask again. Takes at most
        15 s. May be cancelled.

        Raises:
            DatabaseFault: the database could not be asked.
        """
        return await self._database.run_with_retries(
            lambda connection: self._age.is_confirmed(connection, user_id)
        )

    async def cancel(self, request: Handle) -> bool:
        """Cancel a request; return True if it was open, False if it had ended or is unknown.

        `request` is the request, its id, its status message in the chat, or a draft of it that a
        person has stopped.
        The conversation is erased from it, and the worker stops drawing within seconds; a photo
        whose send is under way may still arrive. The second call returns False. Takes at most
        17 s: 15 s for the database, 2 s for Redis, which may be down. If this call itself is
        cancelled, the request may have been.

        Raises:
            DatabaseFault: the database could not do it.
        """
        cancelled_ids = await self._database.run_with_retries(
            lambda connection: cancellation.cancel(connection, handles.is_meant(request)),
        )
        await self._queue.publish_ended(cancelled_ids)
        return bool(cancelled_ids)

    def limited_message(
        self, limited: Limited, *, language: str | None = None, zone: tzinfo | None = None
    ) -> LimitedMessage:
        """Return what to tell a user for whom `ask` or `vary` has returned Limited.

        It says when the next picture is free: in the time of `zone`, or with an entity that
        Telegram shows in the reader's own time. `language` is a code such as `ru-RU`; the text is
        English for None and for a language without sentences. Touches no network.
        """
        return limited_message(limited, self._messages, language=language, zone=zone)

    async def forget_user(
        self, user_id: int, *, dialog_ids: Collection[DialogKey] = ()
    ) -> Forgotten:
        """Erase all that is kept of a user, and return what was erased and what is out of reach.

        `dialog_ids` are the user's dialogs, where the bot has no `dialogs` table of its own: of a
        dialog without a picture only the bot knows whose it is. A dialog in which another user
        has requests stays.
        Open requests end, and the worker stops drawing them. The worker erases the image files,
        within ten minutes. The second call, or a user of whom nothing is kept, returns zeros.
        If the user has said to be under 18, a keyed hash of the id stays until they may confirm to
        be of age again. Takes at most 17 s: 15 s for the database, 2 s for Redis, which may be
        down. If it is cancelled, either all rows are erased or none: call it again.

        Raises:
            DatabaseFault: the database could not do it.
            ValueError: `user_id` is 0, under which the covers are kept.
        """
        numbers = [dialog_number(key) for key in dialog_ids]
        erasure = await self._database.run_with_retries(
            lambda connection: user_erasure.erase(
                connection, user_id, dialog_ids=numbers, hash_secret=self._hash_secret
            ),
        )
        await self._queue.publish_erased(user_id, erasure.request_ids)
        return erasure.forgotten

    async def close(self) -> None:
        """Close all connections of the running event loop; may be called twice.

        It also logs how many failures were not logged yet. Call it when no other method runs any
        more, or use `async with`. It does not wait for the database.
        """
        self._failures.log_rest()
        await self._connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def _database(self) -> database.Database:
        return self._connections.current.database

    @property
    def _queue(self) -> QueueClient:
        return self._connections.current.queue

    async def _on_photo(self, step: Callable[[AsyncConnection], Awaitable[ResultT]]) -> ResultT:
        """Run a step on a photo in the chat, again while its delivery is being written down.

        Raises:
            PhotoOnItsWay: it was not written down in the time of a turn.
        """
        until = time.monotonic() + self._turn_timeout_s
        while True:
            try:
                return await self._database.run_with_retries(step)
            except PhotoOnItsWay:
                if time.monotonic() >= until:
                    raise
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _read_picture(
        self, handle: Handle, *, deadline: float
    ) -> tuple[UUID, Picture] | None:
        """Read the row of a request, and its id; None if the database could not be asked.

        The limit is the `deadline`, but at least the time of a turn.
        """
        within_s = max(deadline - time.monotonic(), self._turn_timeout_s)
        try:
            async with asyncio.timeout(within_s):
                found = await self._connections.current.pictures.read(handle)
        except database.DATABASE_ERRORS:  # which has been logged
            return None
        if found is None:
            raise LookupError(f"there is no request {handles.spelled(handle)}")
        return found

    async def _enqueue_if_allowed(self, answer: Request | Limited) -> Request | Limited:
        self._metrics.asked(is_limited=not isinstance(answer, Request))
        if isinstance(answer, Request):
            await self.enqueue(answer)
        return answer

    async def _tell_worker(self, request: Request, *, within_s: float) -> None:
        is_told = await self._queue.enqueue(request.id, within_s=within_s)
        self._metrics.enqueued(is_told=is_told)

    def _not_carried_out(self, press: Press, *, why: str) -> ButtonAnswer:
        if (untold := self._throttle.admit(why)) is not None:
            log.warning("button not carried out", why=why, untold=untold)
        return self._buttons.refusal("button_later", press.language)
