"""PromptJob: a prompt that a host is to draw. PromptResult: its images."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.comfy.events import Preview
from imagegen.comfy.history import OutputImage
from imagegen.comfy.reference_pictures import ReferencePicture

# The save node that sends its images through the websocket and saves them nowhere.
WEBSOCKET_SAVE_NODE = "SaveImageWebsocket"


def _ignore_progress(_: float) -> None:
    pass


def _ignore_gpus(_: tuple[float, ...]) -> None:
    pass


def _ignore_images(_: tuple[OutputImage, ...]) -> None:
    pass


def _ignore_queue(_: int) -> None:
    pass


def _ignore_begin() -> None:
    pass


def _are_loaded() -> bool:
    return True


def _give_up(_: int) -> bool:
    return True


async def _no_check() -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class PromptJob:
    """A graph in API format, and `node`, the id of the node whose images are wanted.

    `pictures` are those that the graph loads; they are on the host before the prompt is posted.

    `prompt_id` is a canonical UUID that was never posted before. `origin` is stored with the
    prompt in the host's queue and history, so that an operator can see whose prompt it is.
    `on_progress` is called with the share that is done, 0 to 1. `on_preview`, if given, is called
    with the sampler's previews. `on_gpus` is called with how busy each GPU of the host is, 0 to 1,
    if the host tells it. `on_images` is called with the files that `node` has made as soon as the
    host names them; whether the prompt ends well is not known then. `on_queue` is called with the
    number of prompts that the host has, those of others included, whenever it tells; `on_begin`
    when it begins to draw the prompt.
    `are_models_loaded` is called at that moment, before `on_begin`: False gives the host the time
    of `loading_s` until the first step of a sampler.
    `gives_up_place` is called with the number of prompts before this one when it has waited for
    `queue_s`: if it returns False, the prompt waits as long again. `before_post` is awaited as the
    last step before the POST; if it raises, the prompt is not posted.
    """

    graph: Mapping[str, Any]
    prompt_id: str
    node: str
    pictures: tuple[ReferencePicture, ...] = ()
    origin: str = ""
    on_progress: Callable[[float], None] = _ignore_progress
    on_preview: Callable[[Preview], None] | None = None
    on_gpus: Callable[[tuple[float, ...]], None] = _ignore_gpus
    on_images: Callable[[tuple[OutputImage, ...]], None] = _ignore_images
    on_queue: Callable[[int], None] = _ignore_queue
    on_begin: Callable[[], None] = _ignore_begin
    are_models_loaded: Callable[[], bool] = _are_loaded
    gives_up_place: Callable[[int], bool] = _give_up
    before_post: Callable[[], Awaitable[None]] = _no_check

    @property
    def sends_images(self) -> bool:
        """Whether the host sends the images through the websocket instead of saving them."""
        return bool(self.graph[self.node]["class_type"] == WEBSOCKET_SAVE_NODE)

    @property
    def extra_data(self) -> dict[str, Any]:
        """The `extra_data` that is posted with the graph."""
        extra = {"chatflow_request": self.origin} if self.origin else {}
        if self.on_preview is not None:
            # This preview method needs no model of its own; older servers ignore the key.
            extra["preview_method"] = "latent2rgb"
        return extra


@dataclass(frozen=True, kw_only=True)
class PromptResult:
    """The images of a prompt: file names on the host, or bytes if the host has sent them.

    `seconds` is how long the host worked on the prompt, and `loading_s` how much of it before the
    first step of a sampler; None if the event was missed.
    """

    images: tuple[OutputImage | bytes, ...]
    seconds: float | None
    loading_s: float | None = None
