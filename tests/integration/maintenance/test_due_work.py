"""What there is to do is asked by one statement, and each part of the worker hears of its own."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import delete, func
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import Base, ImageRequest, State, UnreadTurn
from imagegen.db.engine import connect
from imagegen.db.tables import ComfyuiHost, ForgottenMessage, PauseEntry, StrayPrompt
from imagegen.errors import Unavailable
from imagegen.maintenance.due_work import DueWork, Work
from tests.support import database_activity
from tests.support.aged_rows import SAID
from tests.support.conversations import Sessions

# Counted from when the row is written: a suite may be under way for a quarter of an hour by then.
_LONG_AGO = func.now() - timedelta(minutes=5)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def due_work(engine: AsyncEngine, clock: Clock) -> DueWork:
    """What has been looked for once, in an empty database."""
    due_work = _due_work(engine, clock)
    await due_work.step()
    _taken(due_work)
    clock.now_s += 1.0
    return due_work


def _due_work(engine: AsyncEngine, clock: Clock) -> DueWork:
    return DueWork(engine, every_s=dict.fromkeys(Work, 1.0), silent_s=5.0, clock=clock)


def _taken(due_work: DueWork) -> set[Work]:
    """Return which work is due, and take it as the parts of a worker do."""
    due = {work for work in Work if due_work.event(work).is_set()}
    for work in due:
        due_work.event(work).clear()
    return due


async def test_what_the_worker_remembers_is_due_from_the_beginning(
    engine: AsyncEngine, clock: Clock
) -> None:
    due_work = _due_work(engine, clock)

    seen = [_taken(due_work), *[await _look(due_work, clock) for _ in range(2)]]

    assert seen == [{Work.PAUSES, Work.HOST_ORDERS}, set(), set()]


async def test_nothing_is_due_where_there_is_nothing(due_work: DueWork) -> None:
    await due_work.step()

    assert _taken(due_work) == set()


def _unread_turn() -> UnreadTurn:
    return UnreadTurn(
        id=UUID(int=3), user_id=1, dialog_id=1, message_count=1, conversation={}, read_at=None
    )


def _request(**values: object) -> ImageRequest:
    return ImageRequest(
        **{
            "id": UUID(int=1),
            "kind": "asked",
            "dialog_id": 1,
            "user_id": 1001,
            "chat_id": 1001,
            "persona": "lina",
            "message_count": 3,
            "conversation": SAID,
            "updated_at": _LONG_AGO,
            **values,
        }
    )


@pytest.mark.parametrize(
    ("row", "work"),
    [
        (PauseEntry(scope="persona", name="lina"), Work.PAUSES),
        (ComfyuiHost(name="gpu-9", use="draining"), Work.HOST_ORDERS),
        (_unread_turn(), Work.UNREAD_TURNS),
        (_request(), Work.SILENT_REQUESTS),
        (StrayPrompt(prompt_id=UUID(int=2), host="gpu-1", left_at=_LONG_AGO), Work.STRAY_PROMPTS),
        (_request(state=State.FAILED, finished_at=_LONG_AGO), Work.CHAT_ENDS),
        (ForgottenMessage(chat_id=1, message_id=2), Work.FORGOTTEN_MESSAGES),
    ],
    ids=lambda value: value if isinstance(value, Work) else "",
)
async def test_work_is_due_while_its_row_is_there(
    due_work: DueWork, clock: Clock, sessions: Sessions, row: Base, work: Work
) -> None:
    async with sessions.begin() as session:
        session.add(await session.merge(row))

    seen = [await _look(due_work, clock) for _ in range(2)]
    async with sessions.begin() as session:
        await session.execute(delete(type(row)))
    seen.append(await _look(due_work, clock))

    assert seen == [{work}, {work}, set()]


async def _look(due_work: DueWork, clock: Clock) -> set[Work]:
    clock.now_s += 1.0
    await due_work.step()
    return _taken(due_work)


async def test_all_is_asked_by_one_statement_and_each_kind_at_its_interval(
    engine: AsyncEngine, clock: Clock, sessions: Sessions
) -> None:
    rare = DueWork(
        engine,
        every_s={**dict.fromkeys(Work, 1.0), Work.FORGOTTEN_MESSAGES: 3.0},
        silent_s=5.0,
        clock=clock,
    )
    async with sessions.begin() as session:
        session.add(ForgottenMessage(chat_id=1, message_id=2))
    await engine.dispose()  # so that the connections are opened by the looks
    _taken(rare)

    with database_activity.noted_queries() as queries:
        seen = [await _look(rare, clock) for _ in range(5)]

    assert [Work.FORGOTTEN_MESSAGES in due for due in seen] == [True, False, False, True, False]
    assert len(queries) in (4, 5)  # the last one is told at the next turn of the event loop


async def test_each_part_finds_out_by_itself_while_postgresql_is_away(clock: Clock) -> None:
    away = connect("postgresql+asyncpg://nobody@127.0.0.1:9/nothing")
    due_work = _due_work(away, clock)
    _taken(due_work)

    with pytest.raises(Unavailable):
        await due_work.step()

    assert _taken(due_work) == set(Work)
    await away.dispose()
