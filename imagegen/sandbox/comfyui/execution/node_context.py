"""What a running node may use, and the values on the links of a graph."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from PIL.Image import Image

from imagegen.sandbox.comfyui.execution.files import ImageFolders
from imagegen.sandbox.comfyui.execution.interrupts import Interrupt, InterruptedRun, NodeError
from imagegen.sandbox.comfyui.execution.node_order import Graph
from imagegen.sandbox.comfyui.execution.progress import NodeProgressState
from imagegen.sandbox.comfyui.faults.prompt_faults import PromptFaults
from imagegen.sandbox.comfyui.websocket.feed import JPEG, PNG, BinaryKind, WebSocketFeed

__all__ = ["HostContext", "Interrupt", "InterruptedRun", "NodeContext", "NodeError"]


_PREVIEW_METHODS = ("none", "auto", "latent2rgb", "taesd")


_METADATA = ("node_id", "prompt_id", "display_node_id", "parent_node_id", "real_node_id")


@dataclass(frozen=True, kw_only=True)
class Model:
    """A loaded model file, with the LoRAs applied to it."""

    file: str
    loras: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """The prompt text for a sampler."""

    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Guider:
    """A model and its text, for the custom samplers."""

    model: Model
    text: str


@dataclass(frozen=True, kw_only=True)
class PaintedScene:
    """What an image shows: the input of `drawing`."""

    persona: str
    seed: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Latent:
    """Images before decoding: size in pixels, batch size and scene (None if nothing was sampled)."""

    width: int
    height: int
    count: int
    scene: PaintedScene | None = None


@dataclass(frozen=True)
class Images:
    """A batch of images; its str() looks like a tensor, as in a real server's error messages."""

    images: tuple[Image, ...] = field(repr=False)

    @property
    def size(self) -> tuple[int, int]:
        return self.images[0].size

    def __str__(self) -> str:
        width, height = self.size
        return f"tensor({len(self.images)} pictures of {width} x {height})"


@dataclass(frozen=True, kw_only=True)
class HostContext:
    """What all prompts of a host share."""

    feed: WebSocketFeed
    files: ImageFolders
    seconds_per_picture: float
    progress_pause_s: float
    preview_method: str
    takes_preview_method: bool
    writes_metadata: bool
    longest_side: int | None
    interrupt: Interrupt
    sleep: Callable[[float], Awaitable[object]]
    faults: PromptFaults = field(default_factory=PromptFaults)


class NodeContext:
    """What one running node of a prompt may use: files, time, progress events, interrupts."""

    def __init__(
        self,
        *,
        node: str,
        graph: Graph,
        extra_data: dict[str, Any],
        progress: NodeProgressState,
        host_context: HostContext,
    ) -> None:
        self.graph = graph
        self.extra_pnginfo: dict[str, Any] | None = extra_data.get("extra_pnginfo")
        self.files = host_context.files
        self.writes_metadata = host_context.writes_metadata
        self.longest_side = host_context.longest_side
        self._node = node
        self._client_id = extra_data.get("client_id")
        self._preview_method = _preview_method(extra_data, host_context)
        self._progress = progress
        self._host_context = host_context
        self._last_sent_s: float | None = None

    async def draw(self, steps: int, preview: Callable[[int], Awaitable[bytes]]) -> None:
        """Take the time of one picture, step by step, and send progress events.

        `preview` returns a JPEG of how a step looks; it is called only if previews are on.

        Raises:
            InterruptedRun: the prompt was interrupted.
        """
        seconds = self._host_context.seconds_per_picture / steps
        for step in range(1, steps + 1):
            await self._host_context.sleep(seconds)
            await self._host_context.faults.wait_while_frozen()
            if step == max(1, steps // 2):
                await self._host_context.faults.stall(
                    self._progress.prompt_id, self._host_context.interrupt
                )
            self.stop_if_interrupted()
            if self._preview_method != "none":
                self.send_image(await preview(step), step, steps, JPEG)
            # The nominal time of the step decides, so that a busy machine sends the same frames.
            elif self._is_due(step * seconds) or step == steps:
                self.step(step, steps)

    def step(self, value: int, maximum: int) -> None:
        """Send how far the node is: `value` of `maximum` steps."""
        self._send_state(value, maximum)
        self._send_progress(value, maximum)

    def send_image(self, image: bytes, value: int, maximum: int, kind: BinaryKind = PNG) -> None:
        """Send an image through the websocket, together with how far the node is."""
        self._send_state(value, maximum)
        if self._host_context.feed.wants_metadata(self._client_id):
            entry = self._progress.frame()["nodes"][self._node]
            data = {key: entry[key] for key in _METADATA}
            self._host_context.feed.send_image(image, data, self._client_id, kind)
            self._send_progress(value, maximum)
        else:
            self._send_progress(value, maximum)
            self._host_context.feed.send_bare_image(image, self._client_id, kind)

    def stop_if_interrupted(self) -> None:
        """End the run if an interrupt was requested, and clear that request.

        Raises:
            InterruptedRun: the prompt was interrupted.
        """
        if self._host_context.interrupt.take():
            raise InterruptedRun

    def _is_due(self, at_s: float) -> bool:
        if (
            self._last_sent_s is None
            or at_s - self._last_sent_s >= self._host_context.progress_pause_s
        ):
            self._last_sent_s = at_s
            return True
        return False

    def _send_state(self, value: int, maximum: int) -> None:
        self._progress.step(self._node, value, maximum)
        self._host_context.feed.send("progress_state", self._progress.frame(), self._client_id)

    def _send_progress(self, value: int, maximum: int) -> None:
        prompt_id = self._progress.prompt_id
        data = {"value": value, "max": maximum, "prompt_id": prompt_id, "node": self._node}
        self._host_context.feed.send("progress", data, self._client_id)


def _preview_method(extra_data: dict[str, Any], host_context: HostContext) -> str:
    requested = extra_data.get("preview_method")
    if host_context.takes_preview_method and requested in _PREVIEW_METHODS:
        return str(requested)
    return host_context.preview_method
