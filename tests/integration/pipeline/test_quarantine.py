"""Requests under which workers die are told apart from requests that ran at the same time."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import ImageRequest, State
from imagegen.errors import Unavailable
from imagegen.pipeline.quarantine import Poisonous, Quarantine
from imagegen.requests.claim import ClaimedRequest, ClaimLost
from imagegen.requests.repository import RequestRepository
from tests.support import conversations, request_steps
from tests.support.conversations import Sessions
from tests.support.drawing_plan import PLAN
from tests.support.patience import PATIENCE_S
from tests.support.pool_callers import Clock
from tests.support.product import ProductFactory


async def test_a_claim_that_nobody_let_go_of_is_a_crash(
    products: ProductFactory, engine: AsyncEngine
) -> None:
    requests = RequestRepository(engine)
    async with products.start(works=False) as product:
        request = await product.ask()

        claims = [await requests.claim(request.id) for _ in range(3)]

    assert [claim and claim.crashes for claim in claims] == [0, 1, 2]


async def test_a_suspect_that_was_not_admitted_yet_has_not_crashed(
    products: ProductFactory, engine: AsyncEngine
) -> None:
    """Its worker died over another one that was admitted at the same moment."""
    requests = RequestRepository(engine)
    async with products.start(works=False) as product:
        request = await product.ask()
        suspect = [await request_steps.claimed(requests, request.id) for _ in range(3)][-1]

        claimed_again = await request_steps.claimed(requests, request.id)
        await requests.end_wait(claimed_again)
        after_admission = await request_steps.claimed(requests, request.id)

    assert suspect.is_suspect
    assert [each.crashes for each in (suspect, claimed_again, after_admission)] == [2, 2, 3]


async def test_a_claim_that_was_let_go_is_none(
    products: ProductFactory, engine: AsyncEngine
) -> None:
    requests = RequestRepository(engine)
    async with products.start(works=False) as product:
        request = await product.ask()
        first = await requests.claim(request.id)
        assert first is not None
        await requests.put_back(first)

        second = await requests.claim(request.id)

    assert second is not None
    assert second.crashes == 0


async def test_a_picture_that_gets_on_counts_anew(
    products: ProductFactory, engine: AsyncEngine
) -> None:
    requests = RequestRepository(engine)
    async with products.start(works=False) as product:
        request = await product.ask()
        await requests.claim(request.id)
        second = await requests.claim(request.id)
        assert second is not None
        await requests.start_drawing(second, PLAN, host="gpu-1")

        third = await requests.claim(request.id)

    assert third is not None
    assert third.crashes == 1


async def test_the_attempts_of_a_request_end_while_it_is_still_ours(
    products: ProductFactory, engine: AsyncEngine
) -> None:
    requests = RequestRepository(engine)
    async with products.start(works=False) as product:
        request = await product.ask()
        first = await requests.claim(request.id)
        assert first is not None

        may_first = await requests.put_back(first, costs_an_attempt=True, most_attempts=2)
        second = await requests.claim(request.id)
        assert second is not None
        may_second = await requests.put_back(second, costs_an_attempt=True, most_attempts=2)
        await requests.end_without_picture(second, State.FAILED, Poisonous("at its end"))

    assert (may_first, may_second) == (True, False)


async def test_a_request_over_which_workers_died_too_often_ends_as_poison(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False, request_crashes=4) as product:
        guilty, near = await product.ask(dialog_id=1), await product.ask(dialog_id=2)
        for request, crashes in ((guilty, 4), (near, 3)):
            await _set_crashes(sessions, request.id, crashes)
        async with product.worker():
            ends = [await product.hook.wait(each, timeout=PATIENCE_S) for each in (guilty, near)]

    assert [(end.state, end.error_code) for end in ends] == [
        (State.FAILED, "poison"),
        (State.DELIVERED, None),
    ]
    assert len(product.hosts[0].posted) == 1
    async with sessions() as session:
        assert set(await session.scalars(select(ImageRequest.crashes))) == {4, 0}


async def test_a_job_that_only_waited_for_a_slot_is_no_suspect(
    products: ProductFactory, engine: AsyncEngine, sessions: Sessions
) -> None:
    requests = RequestRepository(engine)
    async with products.start(
        works=False, seconds_per_picture=30.0, comfyui_slots_per_host=1
    ) as product:
        asked = [await product.ask(dialog_id=number) for number in range(3)]
        async with product.worker(is_interrupted=True):
            await _until_one_draws_and_others_wait(sessions)
            claims = [await request_steps.claimed(requests, each.id) for each in asked]

    assert sorted((each.state, each.crashes) for each in claims) == [
        (State.DRAWING, 1),
        (State.QUEUED, 0),
        (State.QUEUED, 0),
    ]


async def test_a_claim_after_one_that_only_waited_is_a_crash_again(
    products: ProductFactory, engine: AsyncEngine
) -> None:
    requests = RequestRepository(engine)
    async with products.start(works=False) as product:
        request = await product.ask()
        await requests.mark_waiting(await request_steps.claimed(requests, request.id))

        claims = [await request_steps.claimed(requests, request.id) for _ in range(3)]

    assert [each.crashes for each in claims] == [0, 1, 2]


async def test_a_job_that_waits_for_the_host_of_its_prompt_has_not_crashed_until_it_goes_on(
    products: ProductFactory, engine: AsyncEngine
) -> None:
    requests = RequestRepository(engine)
    async with products.start(works=False) as product:
        request_id = (await product.ask()).id
        drawing = await requests.start_drawing(
            await request_steps.claimed(requests, request_id), PLAN, host="gpu-1"
        )
        after_drawing = await request_steps.claimed(requests, drawing.id)

        await requests.mark_waiting(after_drawing)
        after_wait = await request_steps.claimed(requests, drawing.id)
        await requests.mark_waiting(after_wait)
        await requests.end_wait(after_wait)
        after_resumption = await request_steps.claimed(requests, drawing.id)

    assert [each.crashes for each in (after_drawing, after_wait, after_resumption)] == [1, 1, 2]
    assert after_resumption.state is State.DRAWING


async def test_a_worker_that_dies_while_a_host_is_away_is_no_crash_of_its_prompts(
    products: ProductFactory, engine: AsyncEngine, sessions: Sessions
) -> None:
    requests = RequestRepository(engine)
    async with products.start(works=False) as product:
        request_id = (await product.ask()).id
        left = await request_steps.claimed(requests, request_id)
        left = await requests.start_drawing(left, PLAN, host=product.settings.comfyui_hosts[0].name)
        await requests.put_back(left)
        await _set_crashes(sessions, request_id, 2)
        await product.hosts[0].kill()

        async with product.worker(is_interrupted=True):
            await _until_marked_as_waiting(sessions, request_id)
        after = await request_steps.claimed(requests, request_id)

    assert (after.state, after.crashes) == (State.DRAWING, 2)


async def test_a_claim_that_was_lost_is_not_marked_as_waiting(
    products: ProductFactory, engine: AsyncEngine
) -> None:
    requests = RequestRepository(engine)
    async with products.start(works=False) as product:
        request = await product.ask()
        first = await request_steps.claimed(requests, request.id)
        await request_steps.claimed(requests, request.id)

        with pytest.raises(ClaimLost):
            await requests.mark_waiting(first)

        third = await request_steps.claimed(requests, request.id)

    assert third.crashes == 2


@pytest.mark.parametrize(
    ("suspects", "sizes"), [(1, [1, 1, 1]), (8, [4, 2, 1]), (16, [6, 3, 1]), (1000, [100, 10, 1])]
)
async def test_each_crash_narrows_the_circle_of_suspects_to_one(
    claim: ClaimedRequest, suspects: int, sizes: list[int]
) -> None:
    quarantine = Quarantine(max_crashes=5, count_suspects=counting(suspects))

    admitted = [
        await _admitted_at_a_time(quarantine, claim, crashes=crashes) for crashes in (2, 3, 4)
    ]

    assert admitted == sizes


async def test_nobody_waits_for_suspects_and_the_last_one_runs_beside_no_other(
    claim: ClaimedRequest,
) -> None:
    quarantine = Quarantine(max_crashes=5, count_suspects=counting(20))

    async with quarantine.admitted(_suspect(claim, crashes=4)):
        async with quarantine.admitted(_suspect(claim, crashes=1)):
            pass
        with pytest.raises(Unavailable) as waits:
            async with quarantine.admitted(_suspect(claim, crashes=2)):
                pass
    async with quarantine.admitted(_suspect(claim, crashes=2)):
        with pytest.raises(Unavailable):
            async with quarantine.admitted(_suspect(claim, crashes=4)):
                pass

    assert waits.value.code == "suspect_waits"
    assert not waits.value.costs_an_attempt


async def test_a_suspect_that_gets_on_makes_room_for_the_next(claim: ClaimedRequest) -> None:
    quarantine = Quarantine(max_crashes=5, count_suspects=counting(1))
    first = _suspect(claim, crashes=2)

    async with quarantine.admitted(first):
        quarantine.acquit(first.id)
        async with quarantine.admitted(_suspect(claim, crashes=2)):
            pass


async def test_a_suspect_that_waited_is_admitted_again_as_if_it_came_anew(
    claim: ClaimedRequest,
) -> None:
    quarantine = Quarantine(max_crashes=5, count_suspects=counting(1))
    first = _suspect(claim, crashes=2)

    async with quarantine.admitted(first):
        await quarantine.readmit(first)
        quarantine.acquit(first.id)
        async with quarantine.admitted(_suspect(claim, crashes=2)):
            with pytest.raises(Unavailable) as waits:
                await quarantine.readmit(first)
        await quarantine.readmit(first)

    assert waits.value.code == "suspect_waits"


async def test_suspects_that_wait_are_counted_once_a_second(claim: ClaimedRequest) -> None:
    clock, counts = Clock(), itertools.count(20)

    async def count() -> int:
        await asyncio.sleep(0)
        return next(counts)

    quarantine = Quarantine(max_crashes=5, count_suspects=count, clock=clock)

    async def ask() -> None:
        async with quarantine.admitted(_suspect(claim, crashes=2)):
            pass

    await asyncio.gather(*(ask() for _ in range(9)), return_exceptions=True)
    clock.now += 0.9
    await ask()
    counted_in_a_second = next(counts) - 20
    clock.now += 0.1
    await ask()

    assert counted_in_a_second == 1
    assert next(counts) - 20 == 3


async def test_only_open_requests_with_two_crashes_in_a_row_are_suspects(
    products: ProductFactory, engine: AsyncEngine, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        for number, crashes in enumerate((0, 1, 2, 3)):
            await _set_crashes(sessions, (await product.ask(dialog_id=number)).id, crashes)
        ended = await product.ask(dialog_id=4)
        await _set_crashes(sessions, ended.id, 4)
        await conversations.end(sessions, ended, State.FAILED)

        assert await RequestRepository(engine).count_suspects() == 2


@pytest.fixture
async def claim(products: ProductFactory, engine: AsyncEngine) -> ClaimedRequest:
    """Give a claimed request, whose id and number of crashes a test changes."""
    async with products.start(works=False) as product:
        return await request_steps.claimed(RequestRepository(engine), (await product.ask()).id)


def counting(suspects: int) -> Callable[[], Awaitable[int]]:
    async def count() -> int:
        return suspects

    return count


def _suspect(claim: ClaimedRequest, *, crashes: int) -> ClaimedRequest:
    return replace(claim, id=uuid4(), crashes=crashes)


async def _admitted_at_a_time(
    quarantine: Quarantine, claim: ClaimedRequest, *, crashes: int
) -> int:
    async with AsyncExitStack() as stack:
        for number in itertools.count():
            suspect = _suspect(claim, crashes=crashes)
            try:
                await stack.enter_async_context(quarantine.admitted(suspect))
            except Unavailable:
                return number
    raise AssertionError


async def _set_crashes(sessions: Sessions, request_id: UUID, crashes: int) -> None:
    query = update(ImageRequest).where(ImageRequest.id == request_id)
    async with sessions.begin() as session:
        await session.execute(query.values(crashes=crashes))


async def _until_marked_as_waiting(sessions: Sessions, request_id: UUID) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            row = await conversations.row(sessions, request_id)
            if row.claim is not None and row.claim == row.waiting_claim:
                return
            await asyncio.sleep(0.05)


async def _until_one_draws_and_others_wait(sessions: Sessions) -> None:
    query = select(ImageRequest.state, ImageRequest.waiting_claim == ImageRequest.claim)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with sessions() as session:
                rows = sorted(map(tuple, await session.execute(query)), key=str)
            if rows == [("drawing", None), ("queued", True), ("queued", True)]:
                return
            await asyncio.sleep(0.05)
