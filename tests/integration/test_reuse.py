"""A picture that was drawn before is neither drawn nor uploaded again."""

import shutil
from pathlib import Path

import pytest

from chatflow_hook.tables import State
from imagegen.sandbox.telegram import Trouble
from tests import chat
from tests.chat import Sessions
from tests.stage import Stages

STORY = {"story": "a week by the sea", "text": "we sit on the beach"}


@pytest.fixture
def stages(database_url: str, redis_url: str, sessions: Sessions, tmp_path: Path) -> Stages:
    return Stages(database_url, redis_url, sessions, tmp_path / "images")


async def test_the_same_graph_costs_no_gpu_and_no_upload(
    stages: Stages, sessions: Sessions
) -> None:
    async with stages.set(seed_mode="story", seconds_per_picture=0.3) as stage:
        first = await stage.picture(**STORY)
        second = await stage.picture(**STORY)

        assert (first.state, second.state) == (State.DELIVERED, State.DELIVERED)
        assert first.seed == second.seed
        assert len(stage.hosts[0].posted) == 1
        assert stage.telegram.sent[0].file_id == stage.telegram.sent[1].file_id
        drawn, known = await chat.requests_of(sessions)
        assert (drawn.is_reused, known.is_reused) == (False, True)
        assert known.drawing_seconds == drawn.drawing_seconds
        assert known.drawing_seconds is not None
        assert known.drawing_seconds >= 0.3
        assert (await chat.dialog(sessions)).last_image_generation_at == 6


async def test_a_photo_that_telegram_has_forgotten_is_uploaded_again(stages: Stages) -> None:
    async with stages.set(seed_mode="story") as stage:
        await stage.picture(**STORY)
        gone = Trouble.refused(400, "Bad Request: wrong file identifier/HTTP URL specified")
        stage.telegram.script(gone, method="sendPhoto")

        again = await stage.picture(**STORY)

        assert again.state is State.DELIVERED
        assert len(stage.hosts[0].posted) == 1
        assert stage.telegram.sent[0].photo == stage.telegram.sent[1].photo
        assert stage.telegram.sent[0].file_id != stage.telegram.sent[1].file_id


async def test_a_picture_of_one_user_is_never_another_ones(stages: Stages) -> None:
    async with stages.set(seed_mode="story") as stage:
        await stage.picture(dialog_id=1, **STORY)
        await stage.picture(dialog_id=2, **STORY)

        assert len(stage.hosts[0].posted) == 2
        assert len({message.file_id for message in stage.telegram.sent}) == 2


async def test_a_picture_that_the_store_has_lost_is_drawn_again(
    stages: Stages, tmp_path: Path
) -> None:
    async with stages.set(seed_mode="story") as stage:
        await stage.picture(**STORY)
        for folder in (tmp_path / "images").iterdir():
            shutil.rmtree(folder)

        assert (await stage.picture(**STORY)).state is State.DELIVERED
        assert len(stage.hosts[0].posted) == 2


@pytest.mark.parametrize(("mode", "seeds"), [("dialog", 2), ("story", 1), ("random", 2)])
async def test_the_mode_says_which_pictures_share_a_seed(
    stages: Stages, mode: str, seeds: int
) -> None:
    async with stages.set(seed_mode=mode) as stage:
        pictures = [await stage.picture(**STORY, reply=reply) for reply in ("rain", "sun")]

        assert len({picture.seed for picture in pictures}) == seeds
