"""The worker and the hook beside newer ones: what they do not know is left to those who know it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from chatflow_hook.queue import JOB, QUEUE
from chatflow_hook.tables import State
from imagegen.queue import connections
from imagegen.queue.job_queue import JobQueue
from imagegen.requests.claim import ClaimState
from imagegen.requests.repository import RequestRepository
from imagegen.requests.retry import NotRetried, retry_request
from tests.support import conversations, newer_version, request_steps
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct


@pytest.fixture
async def product(products: ProductFactory) -> AsyncIterator[RunningProduct]:
    async with products.start() as product:
        yield product


@pytest.fixture
async def queue(product: RunningProduct) -> AsyncIterator[JobQueue]:
    """Give arq's client, with which a hook of any version enqueues."""
    client = connections.job_queue(product.settings.redis, db=product.settings.redis_broker_db)
    yield client
    await client.aclose(close_connection_pool=True)


async def until_done(queue: JobQueue, job_id: UUID) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await queue.zscore(QUEUE, str(job_id)) is not None:  # noqa: ASYNC110 (Redis tells nobody)
            await asyncio.sleep(0.02)


async def until_logged(log: list[Any], event: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while event not in [line["event"] for line in log]:  # noqa: ASYNC110 (a plain list)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "unknown", [{"kind": newer_version.KIND}, {"state": newer_version.OPEN_STATE}]
)
async def test_a_row_that_only_a_newer_worker_knows_is_left_as_it_is(
    product: RunningProduct, queue: JobQueue, sessions: Sessions, unknown: dict[str, Any]
) -> None:
    request = await newer_version.row(sessions, **unknown)
    before = conversations.columns(await conversations.row(sessions, request.id))

    for _ in range(2):
        await product.hook.enqueue(request)
        await until_done(queue, request.id)

    assert conversations.columns(await conversations.row(sessions, request.id)) == before
    assert (await product.picture(dialog_id=2)).state is State.DELIVERED


async def test_the_relay_of_an_older_worker_does_not_enqueue_what_it_does_not_know(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    await newer_version.row(sessions, kind=newer_version.KIND)
    await newer_version.row(sessions, state=newer_version.OPEN_STATE)
    known = await newer_version.row(sessions)

    silent = await RequestRepository(engine).find_silent(silent_s=0, after=None, most=9)

    assert [each.request_id for each in silent] == [known.id]


async def test_a_prompt_that_a_newer_job_has_taken_over_is_left_on_its_host(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    requests = RequestRepository(engine)
    request = await newer_version.row(sessions)
    ours = await request_steps.claimed(requests, request.id)

    async with sessions.begin() as session:
        await session.execute(
            text("UPDATE image_requests SET state = :state, claim = gen_random_uuid()"),
            {"state": newer_version.OPEN_STATE},
        )

    assert await requests.claim_state(ours) is ClaimState.TAKEN


async def test_a_conversation_of_a_newer_form_waits_for_a_worker_that_can_read_it(
    product: RunningProduct, sessions: Sessions
) -> None:
    scene = {"text": "hello", "history": [{"role": "narrator", "text": "It rains."}]}
    request = await newer_version.row(sessions, conversation=scene)

    with capture_logs() as log:
        await product.hook.enqueue(request)
        await until_logged(log, "request waits")
    waiting = await conversations.row(sessions, request.id)
    async with sessions.begin() as session:
        await session.execute(
            text("UPDATE image_requests SET conversation = conversation - 'history'")
        )
    picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert {line.get("code") for line in log if line["event"] == "request waits"} == {
        "newer_version"
    }
    assert (waiting.state, waiting.attempts) == (State.QUEUED, 0)
    assert picture.state is State.DELIVERED


async def test_a_job_of_an_unknown_function_stays_in_the_queue(
    product: RunningProduct, queue: JobQueue
) -> None:
    await queue.enqueue_job("make_video", "of next year", _job_id="a video")

    async with asyncio.timeout(PATIENCE_S):
        while await queue.get("arq:retry:a video") is None:  # noqa: ASYNC110 (Redis tells nobody)
            await asyncio.sleep(0.02)
    picture = await product.picture()

    assert picture.state is State.DELIVERED
    assert await queue.zscore(QUEUE, "a video") is not None
    assert await queue.exists("arq:job:a video") == 1


async def test_arguments_of_a_newer_hook_are_ignored(
    product: RunningProduct, queue: JobQueue, sessions: Sessions
) -> None:
    request = await newer_version.row(sessions)
    job_id = str(request.id)

    await queue.enqueue_job(JOB, job_id, "high", _job_id=job_id, priority=1)
    picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ({"state": newer_version.OPEN_STATE}, State.DRAWING),
        ({"state": newer_version.FINAL_STATE, "is_ended": True}, State.FAILED),
    ],
)
async def test_the_hook_gives_an_unknown_state_as_the_nearest_that_it_knows(
    product: RunningProduct, sessions: Sessions, values: dict[str, Any], seen: State
) -> None:
    request = await newer_version.row(sessions, **values)

    assert (await product.hook.wait(request, timeout=0)).state is seen


async def test_while_a_picture_is_in_an_unknown_open_state_no_other_begins(
    product: RunningProduct, sessions: Sessions
) -> None:
    await newer_version.row(sessions, state=newer_version.OPEN_STATE)

    assert [await product.hook.on_turn(turn()) for _ in range(6)] == [None] * 6


async def test_after_a_picture_in_an_unknown_final_state_the_next_one_comes(
    product: RunningProduct, sessions: Sessions
) -> None:
    await newer_version.row(sessions, state=newer_version.FINAL_STATE, is_ended=True)

    answers = [await product.hook.on_turn(turn()) for _ in range(3)]

    assert answers[:2] == [None, None], "at the distance of one that did not come"
    assert answers[2] is not None


async def test_an_operator_is_told_that_an_unknown_kind_cannot_be_retried(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    await conversations.put_dialog(sessions)
    request = await newer_version.row(
        sessions, kind=newer_version.KIND, state=State.FAILED, is_ended=True
    )

    with pytest.raises(NotRetried, match="only a newer version knows its kind"):
        await retry_request(engine, None, request.id)


async def test_forgetting_a_user_counts_requests_in_unknown_states(
    product: RunningProduct, sessions: Sessions
) -> None:
    await newer_version.row(
        sessions, state=newer_version.OPEN_STATE, host="gpu-1:8188", prompt_id=uuid4()
    )
    await newer_version.row(sessions, state=newer_version.FINAL_STATE, is_ended=True)

    forgotten = await product.hook.forget_user(1001)

    assert (forgotten.requests, forgotten.open_requests) == (2, 1)
    async with sessions() as session:
        assert await session.scalar(text("SELECT host FROM stray_prompts")) == "gpu-1:8188"
