"""make_image on errors: each request ends with an error code, and the worker goes on."""

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from chatflow_hook import Picture
from chatflow_hook.tables import Dialog, ImageRequest, State
from imagegen import resources
from imagegen.db.tables import Delivery
from imagegen.pipeline import generate
from imagegen.requests.claim import ClaimLost
from imagegen.requests.deliveries import Deliveries
from imagegen.requests.repository import RequestRepository
from imagegen.sandbox.comfyui import SandboxComfyUI
from imagegen.sandbox.telegram import Trouble
from tests.support import conversations, request_steps
from tests.support.comfyui_client import connect_client
from tests.support.conversations import Sessions
from tests.support.drawing_plan import PLAN
from tests.support.patience import PATIENCE_S
from tests.support.paused_comfyui import StepGate
from tests.support.product import ProductFactory, RunningProduct, required_models

NO_SAMPLER = json.dumps(
    {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0},
        },
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
)


def ended(picture: Picture) -> tuple[State, str | None]:
    return picture.state, picture.error_code


async def outcomes(sessions: Sessions) -> list[str]:
    async with sessions() as session:
        return list(
            (await session.execute(select(Delivery.outcome).order_by(Delivery.id))).scalars()
        )


async def logged(log: list[Any], event: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while event not in [line["event"] for line in log]:  # noqa: ASYNC110 (a list gives no event)
            await asyncio.sleep(0.01)


async def goes_on(product: RunningProduct) -> bool:
    """Return whether another dialog still gets its picture."""
    return (await product.picture(dialog_id=99, chat_id=9999)).state is State.DELIVERED


async def test_an_unknown_persona_fails_by_name(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        picture = await product.picture(persona="nobody")

        assert ended(picture) == (State.FAILED, "unknown_persona")
        assert product.hosts[0].posted == []
        assert (await conversations.dialog(sessions)).last_image_generation_at is None
        assert await goes_on(product)


@pytest.mark.parametrize(
    ("content", "named"),
    [("{ no json", "lina/workflow.json"), ("{}", "lina/workflow.json"), (NO_SAMPLER, "sampler")],
)
async def test_a_broken_workflow_fails_its_own_persona_only(
    products: ProductFactory, tmp_path: Path, content: str, named: str
) -> None:
    folder = tmp_path / "workflows"
    shutil.copytree(resources.path("workflows"), folder)
    path = folder / "lina" / "workflow.json"
    path.write_text(content)
    async with products.start(workflows_dir=folder) as product:
        picture = await product.picture(persona="lina")

        assert ended(picture) == (State.FAILED, "workflow_broken")
        assert picture.detail is not None
        assert named in picture.detail
        assert str(tmp_path) not in picture.detail
        assert (await product.picture(dialog_id=2, persona="may")).state is State.DELIVERED


async def test_a_chat_that_does_not_exist_fails_by_name(products: ProductFactory) -> None:
    async with products.start() as product:
        product.telegram.forget(404)

        assert ended(await product.picture(chat_id=404)) == (State.FAILED, "chat_not_found")
        assert await goes_on(product)


async def test_a_blocked_bot_is_not_tried_again(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(delivery_progress="off") as product:
        product.telegram.block(1001)

        assert ended(await product.picture()) == (State.FAILED, "bot_blocked")
        assert await outcomes(sessions) == ["refused"]
        assert len(product.telegram.calls) == 1
        assert await goes_on(product)


async def test_a_model_that_no_host_has_is_named(products: ProductFactory) -> None:
    models = {**required_models(), "loras": ["other.safetensors"]}
    async with products.start(models=models) as product:
        picture = await product.picture()

        assert ended(picture) == (State.FAILED, "model_missing")
        assert picture.detail is not None
        assert ".safetensors" in picture.detail


async def test_a_flood_wait_is_waited_for_in_the_queue_and_nothing_is_drawn_twice(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        product.telegram.script(Trouble.flood(1), method="sendPhoto")

        picture = await product.picture()

        assert picture.state is State.DELIVERED
        assert await outcomes(sessions) == ["not_sent", "sent"]
        assert len(product.hosts[0].drawn) == 1


async def test_a_send_without_an_answer_is_made_once_more(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        product.telegram.script(Trouble.drop(is_accepted=True), method="sendPhoto")

        assert (await product.picture()).state is State.DELIVERED
        assert await outcomes(sessions) == ["unknown", "sent"]


async def test_two_sends_without_an_answer_end_the_request(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        drop = Trouble.drop(is_accepted=True)
        product.telegram.script(drop, drop, method="sendPhoto")

        assert ended(await product.picture()) == (State.FAILED, "delivery_unknown")
        assert len(await outcomes(sessions)) == 3
        assert len(product.telegram.sent) == 2, "and no third one"


async def test_a_host_that_dies_while_it_draws_costs_nothing_but_time(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(
        hosts=2, seconds_per_picture=1.0, comfyui_away_timeout=2.0
    ) as product:
        request = await product.ask()
        dying = await drawing_host(product)

        await dying.kill()

        picture = await product.hook.wait(request, timeout=PATIENCE_S)
        row = await conversations.row(sessions, request.id)
        assert picture.state is State.DELIVERED
        assert row.host != dying.address
        assert (row.draw, row.attempts) == (2, 0)


async def drawing_host(product: RunningProduct) -> SandboxComfyUI:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for host in product.hosts:
                if host.posted:
                    return host
            await asyncio.sleep(0.01)


async def test_a_prompt_that_fails_each_time_spends_its_attempts(
    products: ProductFactory, sessions: Sessions, tmp_path: Path
) -> None:
    folder = tmp_path / "workflows"
    shutil.copytree(resources.path("workflows"), folder)
    path = folder / "ash" / "workflow.json"
    path.write_text(re.sub(r'"[^"]*z_image_turbo[^"]*"', '"corrupt.safetensors"', path.read_text()))
    async with products.start(
        workflows_dir=folder, models=required_models(folder), request_attempts=2
    ) as product:
        request = await product.ask(persona="ash")

        picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert ended(picture) == (State.FAILED, "drawing_failed")
        row = await conversations.row(sessions, request.id)
        assert (row.attempts, row.draw) == (2, 2)
        assert row.conversation is not None, "an operator may want to try it again"


async def test_a_request_that_is_too_old_is_expired_and_not_drawn(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False, request_max_age=60) as product:
        request = await product.ask()
        async with sessions.begin() as session:
            await session.execute(
                update(ImageRequest).values(
                    queued_at=func.now() - func.make_interval(0, 0, 0, 0, 0, 2)
                )
            )
        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert ended(picture) == (State.EXPIRED, "too_old")
        assert product.hosts[0].posted == []
        assert (await conversations.row(sessions, request.id)).conversation is None


async def test_who_has_lost_the_claim_writes_nothing(
    products: ProductFactory, sessions: Sessions, engine: AsyncEngine
) -> None:
    requests = RequestRepository(engine)
    async with products.start(works=False) as product:
        request = await product.ask()
        first = await request_steps.drawn(requests, request.id)
        second = await requests.claim(request.id)
        assert second is not None

        for write in (
            requests.start_drawing(first, PLAN, host="gpu-1"),
            Deliveries(engine).start(first),
            requests.mark_delivered(first),
            requests.put_back(first, costs_an_attempt=True),
        ):
            with pytest.raises(ClaimLost):
                await write

        row = await conversations.row(sessions, request.id)
        assert (row.state, row.draw, row.attempts) == (State.DRAWN, 1, 0)
        assert (await conversations.dialog(sessions)).last_image_generation_at is None


async def test_a_request_that_is_over_or_unknown_is_nothing_to_do(
    products: ProductFactory, engine: AsyncEngine
) -> None:
    requests = RequestRepository(engine)
    async with products.start() as product:
        request = await product.ask()
        await product.hook.wait(request, timeout=PATIENCE_S)

        assert await requests.claim(request.id) is None
        assert await requests.claim(uuid4()) is None


async def test_the_watermark_never_moves_back_nor_beyond_the_count(
    products: ProductFactory, sessions: Sessions, engine: AsyncEngine
) -> None:
    requests = RequestRepository(engine)
    async with products.start(works=False) as product:
        await conversations.put_dialog(
            sessions, dialog_id=1, message_count=2, last_image_generation_at=0
        )
        request = await product.ask()
        claimed = await request_steps.drawn(requests, request.id)
        async with sessions.begin() as session:  # the dialog began anew meanwhile
            await session.execute(update(Dialog).values(message_count=1))

        await requests.mark_delivered(claimed)

        assert (await conversations.dialog(sessions)).last_image_generation_at == 1


async def test_the_job_of_a_request_that_was_cancelled_waits_no_longer_for_a_slot(
    products: ProductFactory, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "_MARK_WAITING_EVERY_S", 0.2)
    gate = StepGate()
    with capture_logs() as log:
        async with products.start(sleep=gate.sleep, comfyui_slots_per_host=1) as product:
            first = await product.ask(dialog_id=1)
            await logged(log, "using host")
            second = await product.ask(dialog_id=2)
            async with asyncio.timeout(PATIENCE_S):
                while (await conversations.row(sessions, second.id)).claim is None:  # noqa: ASYNC110 (the row gives no event)
                    await asyncio.sleep(0.01)

            await product.hook.cancel(second)

            await logged(log, "claim lost")
            assert "warning" not in {line["log_level"] for line in log}
            gate.release_all()
            await product.hook.wait(first, timeout=PATIENCE_S)


async def test_a_request_that_grew_too_old_while_it_waited_for_a_slot_is_not_drawn(
    products: ProductFactory,
) -> None:
    gate = StepGate()
    async with products.start(
        sleep=gate.sleep, request_max_age=4, comfyui_slots_per_host=1
    ) as product:
        first = await product.ask(dialog_id=1)
        async with connect_client(product.hosts[0].address) as client, asyncio.timeout(PATIENCE_S):
            while not (await client.get("/prompt"))["exec_info"]["queue_remaining"]:
                await client.wait_for_event("status")
        second = await product.ask(dialog_id=2)

        assert ended(await product.hook.wait(second, timeout=PATIENCE_S)) == (
            State.EXPIRED,
            "too_old",
        )
        assert len(product.hosts[0].posted) == 1
        gate.release_all()
        await product.hook.wait(first, timeout=PATIENCE_S)
