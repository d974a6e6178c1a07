"""Order: what a host is to draw. Drawn: what came of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.comfy.events import Preview
from imagegen.comfy.history import OutputImage

# The save node whose pictures come through the websocket and are nowhere else.
THROUGH_SOCKET = "SaveImageWebsocket"


def _ignore_progress(_: float) -> None:
    pass


async def _at_once() -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class PromptJob:
    """A graph in API format, and the node whose pictures are wanted.

    `prompt_id` is a canonical UUID that was never posted before. `origin` comes back in the
    host's queue and history, for whoever asks whose prompt that is. `on_progress` is called with
    the share that is done, 0 to 1, and `on_preview`, if given, with pictures on the way.
    `before_post` is awaited last before the prompt is posted; if it raises, nothing is.
    """

    graph: Mapping[str, Any]
    prompt_id: str
    node: str
    origin: str = ""
    on_progress: Callable[[float], None] = _ignore_progress
    on_preview: Callable[[Preview], None] | None = None
    before_post: Callable[[], Awaitable[None]] = _at_once

    @property
    def comes_through_socket(self) -> bool:
        """Whether the host sends the pictures instead of saving them."""
        return bool(self.graph[self.node]["class_type"] == THROUGH_SOCKET)

    @property
    def extra_data(self) -> dict[str, Any]:
        """What is posted beside the graph."""
        extra = {"chatflow_request": self.origin} if self.origin else {}
        if self.on_preview is not None:
            # Costs no model; servers that know no such wish ignore it.
            extra["preview_method"] = "latent2rgb"
        return extra


@dataclass(frozen=True, kw_only=True)
class PromptResult:
    """Pictures as the host names them, or themselves if it sent them.

    `seconds` is how long the host worked on them, None if their start was not heard.
    """

    pictures: tuple[OutputImage | bytes, ...]
    seconds: float | None
