"""What a picture asks of PostgreSQL: each of its steps is one statement, on asyncpg itself."""

import asyncio
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from asyncpg.connection import LoggedQuery
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.direct_query import DirectQuery
from chatflow_hook.tables import Dialog, ImageRequest
from imagegen.db.tables import Delivery, StrayPrompt
from imagegen.delivery.message import SentMessage
from imagegen.maintenance import stray_prompts
from imagegen.pipeline import image_cache
from imagegen.pool import host_orders
from imagegen.requests import (
    deliveries,
    endings,
    pauses,
    repository,
    state_changes,
    stray_statements,
)
from imagegen.requests.claim import ClaimLost
from imagegen.requests.deliveries import Deliveries
from imagegen.requests.repository import RequestRepository
from tests.integration.requests.conftest import ANNA
from tests.support import conversations, database_activity, request_steps
from tests.support.conversations import Sessions
from tests.support.drawing_plan import PLAN

RECEIPT = SentMessage(chat_id=ANNA, message_id=77, file_id="AgAC", bot_id=42)


@pytest.fixture
def queries(engine: AsyncEngine) -> Iterator[list[LoggedQuery]]:  # noqa: ARG001 (opens its connections later)
    with database_activity.noted_queries() as queries:
        yield queries


async def test_each_step_of_a_picture_is_one_statement(
    request_id: UUID, queries: list[LoggedQuery], engine: AsyncEngine, sessions: Sessions
) -> None:
    requests, sends = RequestRepository(engine), Deliveries(engine)
    await engine.dispose()  # so that the connections are opened by the steps

    request = await request_steps.claimed(requests, request_id)
    request = await requests.start_drawing(request, PLAN, host="gpu-1")
    await requests.mark_drawn(request, request_steps.IMAGE, url=None, seconds=None)
    send = await sends.start(request)
    await requests.mark_delivered(request, send=send, receipt=RECEIPT)
    await requests.remove_stray(request)
    await asyncio.sleep(0)

    steps = [logged.query.split()[0] for logged in queries]
    assert steps == ["UPDATE", "UPDATE", "WITH", "WITH", "WITH", "DELETE"]
    row = await conversations.row(sessions, request_id)
    assert (row.state, row.telegram_message_id, row.conversation) == ("delivered", 77, None)
    assert (await conversations.dialog(sessions)).last_image_generation_at == 3
    async with sessions() as session:
        (sent,) = await session.scalars(select(Delivery))
        assert (sent.outcome, sent.message_id) == ("sent", 77)
        assert not (await session.scalars(select(StrayPrompt))).all()


@pytest.mark.parametrize(
    "module",
    [
        deliveries,
        endings,
        image_cache,
        host_orders,
        pauses,
        repository,
        state_changes,
        stray_prompts,
        stray_statements,
    ],
    ids=lambda module: module.__name__,
)
def test_what_sqlalchemy_runs_is_what_asyncpg_runs(module: ModuleType) -> None:
    queries = [value for value in vars(module).values() if isinstance(value, DirectQuery)]

    assert queries
    for query in queries:
        alone: Any = query.executable.compile(dialect=asyncpg_dialect.dialect())  # type: ignore[attr-defined, no-untyped-call]
        given = [name for name, bind in alone.binds.items() if bind.required]
        # With values SQLAlchemy would also write columns of the same names.
        with_values = query.executable.compile(  # type: ignore[attr-defined]
            dialect=asyncpg_dialect.dialect(),  # type: ignore[no-untyped-call]
            column_keys=given,
        )
        assert str(with_values) == str(alone)


async def test_a_step_of_a_job_that_has_lost_the_request_changes_nothing(
    request_id: UUID, engine: AsyncEngine, sessions: Sessions
) -> None:
    requests, sends = RequestRepository(engine), Deliveries(engine)
    lost_request = await request_steps.claimed(requests, request_id)
    lost_request = await requests.start_drawing(lost_request, PLAN, host="gpu-1")
    await requests.mark_drawn(lost_request, request_steps.IMAGE, url=None, seconds=None)
    send = await sends.start(lost_request)
    request = await request_steps.claimed(requests, request_id)

    for step in (
        sends.start(lost_request),
        requests.mark_delivered(lost_request, send=send, receipt=RECEIPT),
    ):
        with pytest.raises(ClaimLost):
            await step

    async with sessions() as session:
        (sent,) = await session.scalars(select(Delivery))
    assert (sent.outcome, sent.message_id) == ("sending", None)
    assert (await conversations.dialog(sessions)).last_image_generation_at is None
    assert (await conversations.row(sessions, request_id)).claim == request.claim


async def test_a_dialog_that_begins_anew_during_a_delivery_has_its_new_watermark(
    request_id: UUID, engine: AsyncEngine, sessions: Sessions
) -> None:
    requests, sends = RequestRepository(engine), Deliveries(engine)
    request = await request_steps.drawn(requests, request_id)
    send = await sends.start(request)

    async with sessions.begin() as hook:
        # As the hook does, in this order, when the dialog's messages are counted from 1 again.
        await hook.execute(update(Dialog).values(message_count=1))
        delivering = asyncio.create_task(
            requests.mark_delivered(request, send=send, receipt=RECEIPT)
        )
        await database_activity.somebody_waits(sessions)
        await hook.execute(update(ImageRequest).values(message_count=1))
    await delivering

    assert (await conversations.dialog(sessions)).last_image_generation_at == 1
    assert (await conversations.row(sessions, request_id)).state == "delivered"


async def test_all_open_requests_of_a_group_move_with_it(
    request_id: UUID, engine: AsyncEngine, sessions: Sessions
) -> None:
    requests, sends = RequestRepository(engine), Deliveries(engine)
    async with sessions.begin() as session:
        values = {"dialog_id": 2, "user_id": 5, "chat_id": ANNA, "persona": "lina"}
        session.add(ImageRequest(id=UUID(int=2), kind="automatic", message_count=3, **values))
    request = await request_steps.drawn(requests, request_id)
    send = await sends.start(request)

    supergroup = SentMessage(chat_id=-100, message_id=77, file_id=None, bot_id=42)
    await requests.mark_delivered(request, send=send, receipt=supergroup)

    for id_ in (request_id, UUID(int=2)):
        assert (await conversations.row(sessions, id_)).chat_id == -100
