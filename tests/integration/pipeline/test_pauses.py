"""What an operator pauses waits in the queue, loses no attempt, and expires."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from chatflow_hook.tables import ImageRequest, State
from imagegen import periodic
from imagegen.pipeline.pause_gate import PauseGate
from imagegen.requests.claim import ClaimedRequest, TooLate
from imagegen.requests.pauses import Pauses, PauseScope
from imagegen.requests.repository import RequestRepository
from tests.support import conversations, request_steps
from tests.support.aged_rows import SAID, AgedData
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def until_logged(log: list[Any], event: str, **fields: object) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not any(line["event"] == event and _has(line, fields) for line in log):  # noqa: ASYNC110 (a list gives no event)
            await asyncio.sleep(0.02)


def _has(line: Mapping[str, object], fields: Mapping[str, object]) -> bool:
    return all(line.get(name) == value for name, value in fields.items())


async def row(sessions: Sessions, request: Any) -> ImageRequest:
    return await conversations.row(sessions, request.id)


async def test_a_paused_persona_waits_while_others_are_drawn_and_goes_on_when_it_is_resumed(
    products: ProductFactory, engine: AsyncEngine, sessions: Sessions
) -> None:
    pauses = Pauses(engine)
    await pauses.pause(PauseScope.PERSONA, " Lina ")
    with capture_logs() as log:
        async with products.start() as product:
            await until_logged(log, "paused", scope="persona", name="lina")
            paused = await product.ask(dialog_id=1)
            other = await product.picture(dialog_id=2, persona="ash")
            await until_logged(log, "request waits", code="paused")
            while_paused = await row(sessions, paused)

            await pauses.resume(PauseScope.PERSONA, "lina")
            resumed = await product.hook.wait(paused, timeout=PATIENCE_S)

    assert other.state is State.DELIVERED
    assert (while_paused.state, while_paused.claim) == (State.QUEUED, None)
    assert resumed.state is State.DELIVERED
    assert (await row(sessions, paused)).attempts == 0


async def test_a_paused_kind_expires_and_what_is_drawn_is_delivered(
    products: ProductFactory, engine: AsyncEngine, sessions: Sessions
) -> None:
    with capture_logs() as log:
        async with products.start(seconds_per_picture=0.5, request_max_age=6) as product:
            drawn = await product.ask(dialog_id=1)
            await until_logged(log, "using host")
            await Pauses(engine).pause(PauseScope.KIND, "automatic")
            await until_logged(log, "paused", scope="kind", name="automatic")
            late = await product.ask(dialog_id=2)

            assert (await product.hook.wait(drawn, timeout=PATIENCE_S)).state is State.DELIVERED
            ended = await product.hook.wait(late, timeout=PATIENCE_S)

    assert (ended.state, ended.error_code) == (State.EXPIRED, "paused_too_long")
    assert (await row(sessions, late)).attempts == 0


async def test_what_no_pause_has_kept_in_the_queue_ends_as_too_old(
    engine: AsyncEngine, sessions: Sessions, tmp_path: Path
) -> None:
    await conversations.put_dialog(sessions)
    data, pauses = AgedData(engine, tmp_path), Pauses(engine)
    await pauses.pause(PauseScope.PERSONA, "lina")
    gate = PauseGate(pauses, max_age_s=60)
    await gate.step()
    old: dict[str, Any] = {
        "kind": "asked",
        "persona": "lina",
        "queued_at": LONG_AGO,
        "conversation": SAID,
    }
    queued = await data.row(State.QUEUED, **old)
    drawing = await data.row(State.DRAWING, host="gpu-1", prompt_id=uuid4(), draw=1, **old)
    requests = RequestRepository(engine)

    ends = {
        request_id: await _end_by_age(gate, await request_steps.claimed(requests, request_id))
        for request_id in (queued, drawing)
    }

    assert ends == {queued: "paused_too_long", drawing: "too_old"}


async def _end_by_age(gate: PauseGate, request: ClaimedRequest) -> str:
    with pytest.raises(TooLate) as ended:
        gate.check_still_wanted(request)
    return ended.value.code


async def test_a_request_that_waits_for_a_slot_when_its_persona_is_paused_is_not_drawn(
    products: ProductFactory, engine: AsyncEngine, sessions: Sessions
) -> None:
    held = asyncio.Event()

    async def hold(_: float) -> None:
        await held.wait()

    with capture_logs() as log:
        async with products.start(comfyui_slots_per_host=1, sleep=hold) as product:
            first = await product.ask(dialog_id=1)
            await until_logged(log, "using host")
            second = await product.ask(dialog_id=2, persona="ash")
            async with asyncio.timeout(PATIENCE_S):
                while (await row(sessions, second)).waiting_claim is None:  # noqa: ASYNC110 (the row gives no event)
                    await asyncio.sleep(0.05)
            await Pauses(engine).pause(PauseScope.PERSONA, "ash")
            await until_logged(log, "paused", name="ash")

            held.set()
            assert (await product.hook.wait(first, timeout=PATIENCE_S)).state is State.DELIVERED
            await until_logged(log, "request waits", code="paused")

            assert len(product.hosts[0].posted) == 1
            assert (await row(sessions, second)).state == State.QUEUED


async def test_the_end_of_a_pause_is_seen_also_if_nothing_else_has_seen_the_pause(
    engine: AsyncEngine,
) -> None:
    pauses, due = Pauses(engine), asyncio.Event()
    gate = PauseGate(pauses, max_age_s=0)
    await pauses.pause(PauseScope.PERSONA, "lina")
    due.set()  # as at the beginning, and after a look that has failed

    with capture_logs() as log:
        async with periodic.every(0.001, gate.step, name="pauses", due=due):
            await until_logged(log, "paused", name="lina")
            await pauses.resume(PauseScope.PERSONA, "lina")
            await until_logged(log, "resumed", name="lina")

    assert await gate.why_held() is None


async def test_two_who_pause_and_resume_at_once_leave_one_outcome(engine: AsyncEngine) -> None:
    pauses = Pauses(engine)

    paused = await asyncio.gather(*(pauses.pause(PauseScope.KIND, "asked") for _ in range(8)))
    resumed = await asyncio.gather(*(pauses.resume(PauseScope.KIND, "asked") for _ in range(8)))

    assert sorted(paused) == [False] * 7 + [True]
    assert sorted(resumed) == [False] * 7 + [True]
    assert await pauses.all() == []
