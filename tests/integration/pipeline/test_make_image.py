"""make_image on errors: each request ends with an error code, and the worker goes on."""

import asyncio
import json
import re
import shutil
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import Picture
from chatflow_hook.tables import Dialog, ImageRequest, State
from imagegen import resources
from imagegen.db.tables import Delivery
from imagegen.requests.claim import ClaimLost
from imagegen.requests.deliveries import Deliveries
from imagegen.requests.repository import RequestRepository
from imagegen.sandbox.comfyui import SandboxComfyUI
from imagegen.sandbox.telegram import Trouble
from tests.support import conversations, request_steps
from tests.support.comfyui_client import visit
from tests.support.conversations import Sessions
from tests.support.drawing_plan import PLAN
from tests.support.paused_comfyui import StepGate
from tests.support.product import PATIENCE_S, Stage, Stages, shelf

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


async def goes_on(stage: Stage) -> bool:
    """Return whether another dialog still gets its picture."""
    return (await stage.picture(dialog_id=99, chat_id=9999)).state is State.DELIVERED


async def test_an_unknown_persona_fails_by_name(stages: Stages, sessions: Sessions) -> None:
    async with stages.set() as stage:
        picture = await stage.picture(persona="nobody")

        assert ended(picture) == (State.FAILED, "unknown_persona")
        assert stage.hosts[0].posted == []
        assert (await conversations.dialog(sessions)).last_image_generation_at is None
        assert await goes_on(stage)


@pytest.mark.parametrize(
    ("content", "named"),
    [("{ no json", "lina/workflow.json"), ("{}", "lina/workflow.json"), (NO_SAMPLER, "sampler")],
)
async def test_a_broken_workflow_fails_its_own_persona_only(
    stages: Stages, tmp_path: Path, content: str, named: str
) -> None:
    folder = tmp_path / "workflows"
    shutil.copytree(resources.path("workflows"), folder)
    path = folder / "lina" / "workflow.json"
    path.write_text(content)
    async with stages.set(workflows_dir=folder) as stage:
        picture = await stage.picture(persona="lina")

        assert ended(picture) == (State.FAILED, "workflow_broken")
        assert picture.message is not None
        assert named in picture.message
        assert str(tmp_path) not in picture.message
        assert (await stage.picture(dialog_id=2, persona="may")).state is State.DELIVERED


async def test_a_chat_that_does_not_exist_fails_by_name(stages: Stages) -> None:
    async with stages.set() as stage:
        stage.telegram.forget(404)

        assert ended(await stage.picture(chat_id=404)) == (State.FAILED, "chat_not_found")
        assert await goes_on(stage)


async def test_a_blocked_bot_is_not_tried_again(stages: Stages, sessions: Sessions) -> None:
    async with stages.set() as stage:
        stage.telegram.block(1001)

        assert ended(await stage.picture()) == (State.FAILED, "bot_blocked")
        assert await outcomes(sessions) == ["refused"]
        assert len(stage.telegram.calls) == 1
        assert await goes_on(stage)


async def test_a_model_that_no_host_has_is_named(stages: Stages) -> None:
    models = {**shelf(), "loras": ["other.safetensors"]}
    async with stages.set(models=models) as stage:
        picture = await stage.picture()

        assert ended(picture) == (State.FAILED, "model_missing")
        assert picture.message is not None
        assert ".safetensors" in picture.message


async def test_a_flood_wait_is_waited_for_in_the_queue_and_nothing_is_drawn_twice(
    stages: Stages, sessions: Sessions
) -> None:
    async with stages.set() as stage:
        stage.telegram.script(Trouble.flood(1), method="sendPhoto")

        picture = await stage.picture()

        assert picture.state is State.DELIVERED
        assert await outcomes(sessions) == ["not_sent", "sent"]
        assert len(stage.hosts[0].drawn) == 1


async def test_a_send_without_an_answer_is_made_once_more(
    stages: Stages, sessions: Sessions
) -> None:
    async with stages.set() as stage:
        stage.telegram.script(Trouble.drop(is_accepted=True), method="sendPhoto")

        assert (await stage.picture()).state is State.DELIVERED
        assert await outcomes(sessions) == ["unknown", "sent"]


async def test_two_sends_without_an_answer_end_the_request(
    stages: Stages, sessions: Sessions
) -> None:
    async with stages.set() as stage:
        drop = Trouble.drop(is_accepted=True)
        stage.telegram.script(drop, drop, method="sendPhoto")

        assert ended(await stage.picture()) == (State.FAILED, "delivery_unknown")
        assert len(await outcomes(sessions)) == 3
        assert len(stage.telegram.sent) == 2, "and no third one"


async def test_a_host_that_dies_while_it_draws_costs_nothing_but_time(
    stages: Stages, sessions: Sessions
) -> None:
    async with stages.set(hosts=2, seconds_per_picture=1.0, comfyui_away_timeout=1.0) as stage:
        request = await stage.ask()
        dying = await drawing_host(stage)

        await dying.kill()

        picture = await stage.hook.wait(request, timeout=PATIENCE_S)
        row = await conversations.row(sessions, request.id)
        assert picture.state is State.DELIVERED
        assert row.host != dying.address
        assert (row.draw, row.attempts) == (2, 0)


async def drawing_host(stage: Stage) -> SandboxComfyUI:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for host in stage.hosts:
                if host.posted:
                    return host
            await asyncio.sleep(0.01)


async def test_a_prompt_that_fails_each_time_spends_its_attempts(
    stages: Stages, sessions: Sessions, tmp_path: Path
) -> None:
    folder = tmp_path / "workflows"
    shutil.copytree(resources.path("workflows"), folder)
    path = folder / "ash" / "workflow.json"
    path.write_text(re.sub(r'"[^"]*z_image_turbo[^"]*"', '"corrupt.safetensors"', path.read_text()))
    async with stages.set(workflows_dir=folder, models=shelf(folder), request_attempts=2) as stage:
        request = await stage.ask(persona="ash")

        picture = await stage.hook.wait(request, timeout=PATIENCE_S)

        assert ended(picture) == (State.FAILED, "drawing_failed")
        row = await conversations.row(sessions, request.id)
        assert (row.attempts, row.draw) == (2, 2)
        assert row.conversation is not None, "an operator may want to try it again"


async def test_a_request_that_is_too_old_is_expired_and_not_drawn(
    stages: Stages, sessions: Sessions
) -> None:
    async with stages.set(works=False, request_max_age=60) as stage:
        request = await stage.ask()
        async with sessions.begin() as session:
            await session.execute(
                update(ImageRequest).values(
                    queued_at=func.now() - func.make_interval(0, 0, 0, 0, 0, 2)
                )
            )
        async with stage.worker():
            picture = await stage.hook.wait(request, timeout=PATIENCE_S)

        assert ended(picture) == (State.EXPIRED, "too_old")
        assert stage.hosts[0].posted == []
        assert (await conversations.row(sessions, request.id)).conversation is None


async def test_who_has_lost_the_claim_writes_nothing(
    stages: Stages, sessions: Sessions, engine: AsyncEngine
) -> None:
    requests = RequestRepository(engine)
    async with stages.set(works=False) as stage:
        request = await stage.ask()
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
    stages: Stages, engine: AsyncEngine
) -> None:
    requests = RequestRepository(engine)
    async with stages.set() as stage:
        request = await stage.ask()
        await stage.hook.wait(request, timeout=PATIENCE_S)

        assert await requests.claim(request.id) is None
        assert await requests.claim(uuid4()) is None


async def test_the_watermark_never_moves_back_nor_beyond_the_count(
    stages: Stages, sessions: Sessions, engine: AsyncEngine
) -> None:
    requests = RequestRepository(engine)
    async with stages.set(works=False) as stage:
        await conversations.put_dialog(
            sessions, dialog_id=1, message_count=2, last_image_generation_at=0
        )
        request = await stage.ask()
        claimed = await request_steps.drawn(requests, request.id)
        async with sessions.begin() as session:  # the dialog began anew meanwhile
            await session.execute(update(Dialog).values(message_count=1))

        await requests.mark_delivered(claimed)

        assert (await conversations.dialog(sessions)).last_image_generation_at == 1


async def test_a_request_that_grew_too_old_while_it_waited_for_a_slot_is_not_drawn(
    stages: Stages,
) -> None:
    gate = StepGate()
    async with stages.set(sleep=gate.sleep, request_max_age=4, comfyui_slots_per_host=1) as stage:
        first = await stage.ask(dialog_id=1)
        async with visit(stage.hosts[0].address) as guest, asyncio.timeout(PATIENCE_S):
            while not (await guest.get("/prompt"))["exec_info"]["queue_remaining"]:
                await guest.hear("status")
        second = await stage.ask(dialog_id=2)

        assert ended(await stage.hook.wait(second, timeout=PATIENCE_S)) == (
            State.EXPIRED,
            "too_old",
        )
        assert len(stage.hosts[0].posted) == 1
        gate.release_all()
        await stage.hook.wait(first, timeout=PATIENCE_S)
