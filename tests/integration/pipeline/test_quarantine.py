"""Requests under which workers die are told apart from requests that ran at the same time."""

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import ImageRequest, State
from imagegen.errors import Unavailable
from imagegen.pipeline.quarantine import Poisonous, Quarantine
from imagegen.requests.repository import RequestRepository
from tests.support.conversations import Sessions
from tests.support.drawing_plan import PLAN
from tests.support.product import PATIENCE_S, Stages


async def test_a_claim_that_nobody_let_go_of_is_a_crash(
    stages: Stages, engine: AsyncEngine
) -> None:
    requests = RequestRepository(engine)
    async with stages.set(works=False) as stage:
        request = await stage.ask()

        claims = [await requests.claim(request.id) for _ in range(3)]

    assert [claim and claim.crashes for claim in claims] == [0, 1, 2]


async def test_a_claim_that_was_let_go_is_none(stages: Stages, engine: AsyncEngine) -> None:
    requests = RequestRepository(engine)
    async with stages.set(works=False) as stage:
        request = await stage.ask()
        first = await requests.claim(request.id)
        assert first is not None
        await requests.put_back(first)

        second = await requests.claim(request.id)

    assert second is not None
    assert second.crashes == 0


async def test_a_picture_that_gets_on_counts_anew(stages: Stages, engine: AsyncEngine) -> None:
    requests = RequestRepository(engine)
    async with stages.set(works=False) as stage:
        request = await stage.ask()
        await requests.claim(request.id)
        second = await requests.claim(request.id)
        assert second is not None
        await requests.start_drawing(second, PLAN, host="gpu-1")

        third = await requests.claim(request.id)

    assert third is not None
    assert third.crashes == 1


async def test_the_attempts_of_a_request_end_while_it_is_still_ours(
    stages: Stages, engine: AsyncEngine
) -> None:
    requests = RequestRepository(engine)
    async with stages.set(works=False) as stage:
        request = await stage.ask()
        first = await requests.claim(request.id)
        assert first is not None

        may_first = await requests.put_back(first, costs_an_attempt=True, most_attempts=2)
        second = await requests.claim(request.id)
        assert second is not None
        may_second = await requests.put_back(second, costs_an_attempt=True, most_attempts=2)
        await requests.end(second, State.FAILED, Poisonous("at its end"))

    assert (may_first, may_second) == (True, False)


async def test_a_request_over_which_workers_died_too_often_ends_as_poison(
    stages: Stages, sessions: Sessions
) -> None:
    async with stages.set(works=False, request_crashes=4) as stage:
        guilty, near = await stage.ask(dialog_id=1), await stage.ask(dialog_id=2)
        for request, crashes in ((guilty, 4), (near, 3)):
            async with sessions.begin() as session:
                await session.execute(
                    update(ImageRequest)
                    .where(ImageRequest.id == request.id)
                    .values(crashes=crashes)
                )
        async with stage.worker():
            ends = [await stage.hook.wait(each, timeout=PATIENCE_S) for each in (guilty, near)]

    assert [(end.state, end.error_code) for end in ends] == [
        (State.FAILED, "poison"),
        (State.DELIVERED, None),
    ]
    assert len(stage.hosts[0].posted) == 1
    async with sessions() as session:
        assert set(await session.scalars(select(ImageRequest.crashes))) == {4, 0}


async def test_suspects_run_one_at_a_time_and_nobody_waits_for_them() -> None:
    quarantine = Quarantine(max_crashes=5)

    async with quarantine.admitted(2):
        async with quarantine.admitted(1):
            pass
        with pytest.raises(Unavailable) as waits:
            async with quarantine.admitted(3):
                pass
    async with quarantine.admitted(3):
        pass

    assert waits.value.code == "suspect_waits"
    assert not waits.value.costs_an_attempt
