"""The synchronous hook: the same calls, from threads, shells and forked processes."""

import asyncio
import code
import inspect
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from structlog.testing import capture_logs

from chatflow_hook import ChatFlowHook as AsyncHook
from chatflow_hook import Limited, NothingToVary, Request, RequestEnd, SentPhoto, sync
from chatflow_hook.ends import EndTimes
from chatflow_hook.tables import State
from tests.support import conversations, fork_server
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S

Maker = sessionmaker[Session]


@pytest.fixture
def hook(database_url: str, redis_url: str) -> Iterator[sync.ChatFlowHook]:
    settings = conversations.hook_settings(
        database_url, redis_url, image_trigger_min=1, image_trigger_max=1
    )
    with sync.ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook:
        yield hook


@pytest.fixture
def bots_sessions(database_url: str) -> Iterator[Maker]:
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    yield sessionmaker(engine)
    engine.dispose()


def _calls(kind: type[Any]) -> dict[str, str]:
    """Give the signature of each public call, but not where sessions or callbacks differ."""
    return {
        name: str(inspect.signature(call))
        for name, call in vars(kind).items()
        if not name.startswith("_") and name not in ("from_env", "on_turn", "on_end")
    }


def _until(bots_sessions: Maker, query: str) -> None:
    """Return when a query gives something other than 0."""
    give_up_at = time.monotonic() + PATIENCE_S
    with bots_sessions() as session:
        while not session.scalar(text(query)):
            assert time.monotonic() < give_up_at
            session.rollback()
            time.sleep(0.01)


def test_its_calls_are_those_of_the_asynchronous_hook() -> None:
    assert _calls(sync.ChatFlowHook) == _calls(AsyncHook)
    assert inspect.signature(sync.ChatFlowHook) == inspect.signature(AsyncHook)


def test_a_picture_is_requested_waited_for_and_cancelled(hook: sync.ChatFlowHook) -> None:
    request = hook.on_turn(turn())

    assert request is not None
    assert hook.wait(request, timeout=0.1).state is State.QUEUED
    assert hook.cancel(request.id) is True
    assert hook.wait(request, timeout=PATIENCE_S).state is State.CANCELLED
    assert hook.status(str(request.id)).state is State.CANCELLED


def test_a_photo_in_the_chat_names_its_request(hook: sync.ChatFlowHook) -> None:
    photo = SentPhoto(chat_id=1001, message_id=77)

    for look in (hook.status, partial(hook.wait, timeout=0)):
        with pytest.raises(LookupError, match="message 77 in chat 1001"):
            look(photo)
    with pytest.raises(NothingToVary):
        hook.vary(photo)
    assert hook.cancel(photo) is False


def test_on_end_tells_each_end_until_the_hook_is_closed(
    hook: sync.ChatFlowHook, bots_sessions: Maker
) -> None:
    ends: Queue[RequestEnd] = Queue()

    def told(end: RequestEnd) -> None:
        assert hook.status(end.request).state is end.picture.state  # it may call the hook
        ends.put(end)

    with ThreadPoolExecutor(1) as threads:
        listening = threads.submit(hook.on_end, told)
        _until(bots_sessions, "SELECT count(*) FROM end_listening")
        request = hook.ask(turn())
        assert isinstance(request, Request)
        hook.cancel(request)

        assert ends.get(timeout=PATIENCE_S).request == request
        _until(bots_sessions, "SELECT count(*) FROM image_requests WHERE told_end IS NOT NULL")
        hook.close()
        assert listening.result(timeout=PATIENCE_S) is None

    assert ends.empty()


def test_a_callback_that_has_not_returned_is_not_called_for_the_same_end_again(
    database_url: str, redis_url: str, bots_sessions: Maker
) -> None:
    settings = conversations.hook_settings(database_url, redis_url)
    times = EndTimes(poll_s=0.02, callback_s=0.05, lease_s=0.1)
    calls, may_return = Queue[RequestEnd](), threading.Event()

    def hang(end: RequestEnd) -> None:
        calls.put(end)
        may_return.wait(PATIENCE_S)

    with (
        capture_logs() as log,
        ThreadPoolExecutor(1) as threads,
        sync.ChatFlowHook(settings, turn_timeout_s=PATIENCE_S, end_times=times) as hook,
    ):
        threads.submit(hook.on_end, hang)
        try:
            _until(bots_sessions, "SELECT count(*) FROM end_listening")
            request = hook.ask(turn())
            assert isinstance(request, Request)
            hook.cancel(request)
            calls.get(timeout=PATIENCE_S)
            seen, give_up_at = _not_taken(log), time.monotonic() + PATIENCE_S
            while _not_taken(log) < seen + 3:
                assert time.monotonic() < give_up_at
                time.sleep(0.01)
            assert calls.empty()
        finally:
            may_return.set()
        _until(bots_sessions, "SELECT count(*) FROM image_requests WHERE told_end IS NOT NULL")

    assert not calls.empty()


def _not_taken(log: Sequence[Any]) -> int:
    return sum(line["event"] == "end not taken" for line in log)


def test_close_ends_the_calls_of_other_threads(hook: sync.ChatFlowHook) -> None:
    request = hook.on_turn(turn())
    assert request is not None
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(hook.wait, request, timeout=PATIENCE_S)
        while not hook._thread._calls:
            time.sleep(0.01)
        hook.close()

        with pytest.raises(CancelledError):
            waiting.result()


def test_every_other_call_works_too(hook: sync.ChatFlowHook) -> None:
    asked = hook.ask(turn())
    assert isinstance(asked, Request)
    hook.enqueue(asked)
    hook.enqueue(None)
    with pytest.raises(NothingToVary):
        hook.vary(asked.id, user_id=1001)
    assert hook.on_dialog_start(turn()) is None
    hook.confirm_age(1001)
    assert hook.has_confirmed_age(1001)
    hook.revoke_age(1001)
    assert not hook.has_confirmed_age(1001)
    assert hook.forget_user(1001).requests == 1
    with pytest.raises(LookupError):
        hook.wait(asked, timeout=0)


def test_in_the_bots_transaction_nothing_is_there_before_its_commit(
    hook: sync.ChatFlowHook, bots_sessions: Maker
) -> None:
    with bots_sessions() as session:
        hook.on_turn(turn(), session)
        session.rollback()
        request = hook.on_turn(turn(), session)
        assert request is not None
        with pytest.raises(LookupError):
            hook.wait(request, timeout=0)

        session.commit()

    hook.enqueue(request)
    assert hook.wait(request, timeout=0).state is State.QUEUED


def test_a_scoped_session_and_a_connection_are_sessions_too(
    hook: sync.ChatFlowHook, bots_sessions: Maker
) -> None:
    scoped = scoped_session(bots_sessions)
    first = hook.on_turn(turn(1), scoped)
    scoped.commit()
    with scoped.get_bind().engine.begin() as connection:
        second = hook.on_turn(turn(2), connection)
    scoped.remove()

    assert first is not None
    assert second is not None


def test_a_failure_leaves_the_bots_transaction_usable(
    hook: sync.ChatFlowHook, bots_sessions: Maker
) -> None:
    with bots_sessions.begin() as session:
        session.execute(text("DROP TABLE image_requests CASCADE"))
    with capture_logs() as log, bots_sessions() as session:
        assert hook.on_turn(turn(), session) is None

        assert session.execute(text("SELECT 1")).scalar_one() == 1

    assert "run `imagegen migrate`" in log[0]["why"]


async def test_an_asynchronous_session_is_misuse(
    hook: sync.ChatFlowHook, sessions: Sessions
) -> None:
    wrong: Any = sessions()

    with pytest.raises(TypeError, match=r"goes to chatflow_hook\.ChatFlowHook"):
        hook.on_turn(turn(), wrong)


def test_threads_share_it(hook: sync.ChatFlowHook, bots_sessions: Maker) -> None:
    def say(dialog_id: int) -> tuple[Request | None, Request | None]:
        with bots_sessions.begin() as session:
            inside = hook.on_turn(turn(dialog_id), session)
        hook.enqueue(inside)
        return inside, hook.on_turn(turn(100 + dialog_id))

    with ThreadPoolExecutor(8) as threads:
        requests = [each for pair in threads.map(say, range(16)) for each in pair]

    assert None not in requests
    assert len({request.id for request in requests if request}) == 32


async def test_in_a_running_event_loop_it_works_too(hook: sync.ChatFlowHook) -> None:
    # As in a notebook, or in an asynchronous view that calls synchronous code.
    assert asyncio.get_running_loop().is_running()

    assert hook.on_turn(turn()) is not None


def test_it_works_typed_into_a_shell(hook: sync.ChatFlowHook) -> None:
    # Django's shell is Python's own console, and with `-c` or a pipe it is `exec`.
    names: dict[str, Any] = {"hook": hook, "turn": turn}
    console = code.InteractiveConsole(names)

    console.push("request = hook.on_turn(turn())")
    exec("picture = hook.wait(request, timeout=0)", names)  # noqa: S102 (as the shell does)

    assert names["picture"].state is State.QUEUED


def test_it_may_be_closed_twice_and_used_again(hook: sync.ChatFlowHook) -> None:
    hook.on_turn(turn())
    hook.close()
    hook.close()
    assert "chatflow_hook" not in {thread.name for thread in threading.enumerate()}

    assert isinstance(hook.ask(turn()), Request | Limited)


def test_a_forked_process_has_connections_of_its_own(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    ended = fork_server.shared().run(
        [sys.executable, "-m", "tests.support.forking_bot"],
        env=os.environ | {"DATABASE_URL": database_url, "REDIS_URL": redis_url},
        cwd=tmp_path,
        timeout=3 * PATIENCE_S,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
