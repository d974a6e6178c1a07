"""ChatFlowHook for synchronous bots: Flask, Django, Celery tasks, threads.

    from chatflow_hook.sync import ChatFlowHook

The calls are those of `chatflow_hook.ChatFlowHook`, and each blocks its thread until it is done.
"""

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import tzinfo
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from chatflow_hook import ends, hook, picture_intent, sessions
from chatflow_hook.buttons import ButtonAnswer
from chatflow_hook.ends import EndTimes, RequestEnd
from chatflow_hook.handles import Handle
from chatflow_hook.limited_message import LimitedMessage
from chatflow_hook.metrics import HookMetrics
from chatflow_hook.outbox import Request
from chatflow_hook.picture import Picture
from chatflow_hook.quota import Limited
from chatflow_hook.settings import HookSettings, read
from chatflow_hook.turn import DialogKey, Turn
from chatflow_hook.user_erasure import Forgotten

ResultT = TypeVar("ResultT")


class SyncChatFlowHook:
    """The calls of `chatflow_hook.ChatFlowHook` for programs without an event loop.

    One object serves all threads of a process, and may be made at the import of a module: a
    process that is forked later has connections of its own. The hook's own connections live in an
    event loop in a background thread, which begins at the first call that needs it. `close`, or
    leaving `with`, closes them and ends the thread. Arguments, times and exceptions are those of
    the asynchronous hook, if not said otherwise. In a coroutine it would block the event loop, as
    every synchronous call does.
    """

    def __init__(  # noqa: PLR0913 (settings, the others by name and most of them for tests)
        self,
        settings: HookSettings,
        *,
        chance: random.Random | None = None,
        turn_timeout_s: float = hook.TURN_TIMEOUT_S,
        end_times: EndTimes = hook.END_TIMES,
        metrics: HookMetrics | None = None,
        tracer_provider: Any = None,
    ) -> None:
        self._hook = _SessionHook(
            settings,
            chance=chance,
            turn_timeout_s=turn_timeout_s,
            end_times=end_times,
            metrics=metrics,
            tracer_provider=tracer_provider,
        )
        self._thread = _LoopThread()

    @classmethod
    def from_env(cls, *, metrics: HookMetrics | None = None) -> Self:
        """Create a hook from the environment variables and a `.env` file; touches no network.

        `metrics` is told what the hook does, in any thread.

        Raises:
            BadSetting: a variable is missing or wrong.
        """
        return cls(read(HookSettings), metrics=metrics)

    def on_turn(
        self,
        turn: Turn,
        session: Session | scoped_session[Session] | Connection | None = None,
    ) -> Request | None:
        """Count the turn's message, and return a request if a picture is due, else None.

        With a `session`, of any driver, everything happens in a savepoint of its transaction and
        in the caller's thread: call this last before the commit, and `enqueue` after it. Without
        one, the hook commits a transaction of its own and tells the worker itself.

        Raises:
            TypeError: `session` is not a synchronous session or connection of SQLAlchemy.
            SQLAlchemyError: what was pending in `session` could not be flushed, or its engine
                has no connection. The driver's own exceptions may come instead.
        """
        if session is not None:
            return self._hook.on_turn_in_session(turn, session)
        return self._thread.run(self._hook.on_turn(turn))

    def enqueue(self, request: Request | None) -> None:
        """Tell the worker of a request that is committed; None, from `on_turn`, does nothing.

        Never raises.
        """
        if request is not None:
            self._thread.run(self._hook.enqueue(request))

    def wait(self, request: Handle, *, timeout: float) -> Picture:
        """Return the picture when its request has ended, or after `timeout` seconds as it is then.

        Raises:
            LookupError: there is no such request.
            TimeoutError: the time is over and the database could not be asked.
        """
        return self._thread.run(self._hook.wait(request, timeout=timeout))

    def status(self, request: Handle) -> Picture:
        """Return the picture as it is now, as `wait` with a `timeout` of 0.

        Raises:
            LookupError: there is no such request.
            TimeoutError: the database could not be asked.
        """
        return self._thread.run(self._hook.status(request))

    def on_end(self, callback: Callable[[RequestEnd], None]) -> None:
        """Call `callback` with each request that has ended, until `close` is called.

        It blocks: run it in a thread of its own, or as a program such as a management command of
        Django. `callback` is called in other threads, up to 10 at the same time. One that takes
        longer than 30 s goes on, since a thread cannot be stopped, and its end is told again when
        it has returned, after a minute or later. An exception in the waiting thread, such as
        KeyboardInterrupt, ends it too; it returns when the callbacks that still run have returned.
        """
        running: set[UUID] = set()
        # Not the threads of asyncio's own executor, in which the hook looks up host names.
        with ThreadPoolExecutor(ends.AT_A_TIME, thread_name_prefix="chatflow_hook end") as threads:

            async def call(end: RequestEnd) -> None:
                request_id = end.request.id
                if request_id in running:  # or it would take another of the threads each minute
                    raise TimeoutError("the call before has not returned")
                running.add(request_id)
                called = threads.submit(callback, end)
                called.add_done_callback(lambda _: running.discard(request_id))
                await asyncio.wrap_future(called)

            with suppress(CancelledError):
                self._thread.run(self._hook.on_end(call))

    def ask(self, turn: Turn) -> Request | Limited:
        """Request a picture of this turn now, or return Limited if the user has had their share.

        Raises:
            DatabaseFault: the database could not do it.
            DialogUnknownError: the bot has a `dialogs` table of its own without this dialog.
        """
        return self._thread.run(self._hook.ask(turn))

    def vary(
        self,
        request_id: Handle,
        *,
        reply_to_message_id: int | None = None,
        user_id: int | None = None,
    ) -> Request | Limited:
        """Request another picture of a delivered picture's scene, or return Limited.

        Raises:
            NothingToVary: there is no such delivered picture of this user, or the words of the
                bot's own `prompt` are not kept any more.
            DatabaseFault: the database could not do it.
        """
        return self._thread.run(
            self._hook.vary(request_id, reply_to_message_id=reply_to_message_id, user_id=user_id)
        )

    def on_button(  # noqa: PLR0913 (of Telegram's callback query, by name)
        self,
        data: str | None,
        *,
        user_id: int,
        chat_id: int,
        press_id: str | None = None,
        language: str | None = None,
        zone: tzinfo | None = None,
    ) -> ButtonAnswer | None:
        """Carry out a press of a button under a picture, and return what to answer; None: not ours."""
        return self._thread.run(
            self._hook.on_button(
                data,
                user_id=user_id,
                chat_id=chat_id,
                press_id=press_id,
                language=language,
                zone=zone,
            )
        )

    @staticmethod
    def wants_picture(text: str, model_says: bool | None = None) -> bool:  # noqa: FBT001 (as there)
        """Return whether a message asks for a picture; `model_says` decides where words do not."""
        return picture_intent.wants_picture(text, model_says=model_says)

    def on_dialog_start(self, turn: Turn) -> Request | None:
        """Request that one of the persona's covers is sent; never raises."""
        return self._thread.run(self._hook.on_dialog_start(turn))

    def confirm_age(self, user_id: int, *, language: str | None = None) -> bool:
        """Store that a user has confirmed to be of age, and return True; False if they may not yet.

        Raises:
            DatabaseFault: the database could not do it.
        """
        return self._thread.run(self._hook.confirm_age(user_id, language=language))

    def may_ask_age(self, user_id: int) -> bool:
        """Return whether to ask a user for their age: they have not confirmed it, and may do so now.

        Raises:
            DatabaseFault: the database could not be asked.
        """
        return self._thread.run(self._hook.may_ask_age(user_id))

    def claim_age_question(self, user_id: int) -> bool:
        """Return whether to ask a user for their age now, and note that they were asked.

        Raises:
            DatabaseFault: the database could not do it.
        """
        return self._thread.run(self._hook.claim_age_question(user_id))

    def release_age_question(self, user_id: int) -> None:
        """Note that a user was not asked for their age after all.

        Raises:
            DatabaseFault: the database could not do it.
        """
        self._thread.run(self._hook.release_age_question(user_id))

    def revoke_age(self, user_id: int) -> None:
        """Store that a user's age confirmation holds no longer.

        Raises:
            DatabaseFault: the database could not do it.
        """
        self._thread.run(self._hook.revoke_age(user_id))

    def has_confirmed_age(self, user_id: int) -> bool:
        """Return whether a user has confirmed the text of AGE_TEXT_VERSION, and not revoked it.

        Raises:
            DatabaseFault: the database could not be asked.
        """
        return self._thread.run(self._hook.has_confirmed_age(user_id))

    def cancel(self, request: Handle) -> bool:
        """Cancel a request; return True if it was open, False if it had ended or is unknown.

        Raises:
            DatabaseFault: the database could not do it.
        """
        return self._thread.run(self._hook.cancel(request))

    def limited_message(
        self, limited: Limited, *, language: str | None = None, zone: tzinfo | None = None
    ) -> LimitedMessage:
        """Return what to tell a user for whom `ask` or `vary` has returned Limited."""
        return self._hook.limited_message(limited, language=language, zone=zone)

    def forget_user(self, user_id: int, *, dialog_ids: Collection[DialogKey] = ()) -> Forgotten:
        """Erase all that is kept of a user, and return what was erased and what is out of reach.

        Raises:
            DatabaseFault: the database could not do it.
            ValueError: `user_id` is 0, under which the covers are kept.
        """
        return self._thread.run(self._hook.forget_user(user_id, dialog_ids=dialog_ids))

    def close(self) -> None:
        """Close the connections and end the background thread; may be called twice.

        What still runs in other threads is cancelled: `on_end` returns, and other calls raise
        `concurrent.futures.CancelledError`. A call afterwards opens the connections anew.
        """
        self._thread.cancel_calls()
        self._thread.run(self._hook.close())
        self._thread.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


# A bot imports one of the two hooks, by the same name. The class has a name of its own, so that a
# log or a traceback tells which of them it is.
ChatFlowHook = SyncChatFlowHook


class _SessionHook(hook.ChatFlowHook):
    def on_turn_in_session(
        self, turn: Turn, session: Session | scoped_session[Session] | Connection
    ) -> Request | None:
        started = time.monotonic()
        sessions.require_sync(session)
        if not self._recorder.is_recordable(turn):
            return None
        connection = sessions.sync_connection_of(session)
        with self._tracing.span("on_turn"):
            recording = self._recorder.record_in_session(connection, turn, started=started)
            return sessions.run_without_loop(recording)


class _LoopThread:
    """An event loop in a daemon thread; it begins at its first use in each process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._thread: threading.Thread
        self._loop: asyncio.AbstractEventLoop
        self._calls: set[Future[Any]]

    def run(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run a coroutine in the loop and wait for its end, in any other thread.

        An exception in the waiting thread, such as KeyboardInterrupt, cancels the coroutine.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self._started_loop())
        self._calls.add(future)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
        finally:
            self._calls.discard(future)

    def cancel_calls(self) -> None:
        """Cancel the coroutines for which other threads wait."""
        if self._pid == os.getpid():
            for future in self._calls.copy():
                future.cancel()

    def end(self) -> None:
        """End the loop and the thread; may be called twice."""
        with self._lock:
            if self._pid == os.getpid():
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
            self._pid = None

    def _started_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            # The threads of a process do not live on in one that it forks.
            if self._pid != os.getpid():
                self._loop, self._calls = asyncio.new_event_loop(), set()
                self._thread = threading.Thread(
                    target=self._run_loop, args=(self._loop,), name="chatflow_hook", daemon=True
                )
                self._thread.start()
                self._pid = os.getpid()
            return self._loop

    @staticmethod
    def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.get_loop().run_forever()
