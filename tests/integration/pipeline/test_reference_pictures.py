"""A persona whose graph loads a picture of its folder, on hosts that never had it."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from chatflow_hook.tables import State
from imagegen import resources
from imagegen.sandbox.comfyui.execution.files import FileName
from tests.support.product import ProductFactory


@pytest.fixture
def workflows(tmp_path: Path) -> Path:
    folder = tmp_path / "workflows"
    shutil.copytree(resources.path("workflows"), folder)
    file = folder / "lina" / "workflow.json"
    graph = json.loads(file.read_text())
    save = next(node for node in graph.values() if node["class_type"] == "SaveImage")
    graph["900"] = {"class_type": "LoadImage", "inputs": {"image": "someone.png"}}
    graph["901"] = {
        "class_type": "ImageBatch",
        "inputs": {"image1": save["inputs"]["images"], "image2": ["900", 0]},
    }
    save["inputs"]["images"] = ["901", 0]
    file.write_text(json.dumps(graph))
    Image.new("RGB", (64, 64), (90, 60, 30)).save(folder / "lina" / "face.png")
    return folder


async def test_the_picture_is_uploaded_to_a_host_and_again_when_it_is_gone(
    products: ProductFactory, workflows: Path
) -> None:
    async with products.start(workflows_dir=workflows) as product:
        [host] = product.hosts
        states = [(await product.picture(persona="lina")).state]
        subfolder, filename = host.posted[0].graph["900"]["inputs"]["image"].split("/")
        name = FileName(filename=filename, subfolder=subfolder, type="input")
        uploaded = host.files.get(name)
        host.files.delete(filename)

        states.append((await product.picture(dialog_id=2, persona="lina")).state)

        assert states == [State.DELIVERED, State.DELIVERED]
        assert uploaded is not None
        assert host.files.get(name) == uploaded
