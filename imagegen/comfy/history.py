"""An entry of a host's history → the pictures that it tells of; pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from imagegen.comfy import events, frames
from imagegen.comfy.error_messages import read_failure, title
from imagegen.comfy.errors import HostLost, ImageMissing, PromptLost
from imagegen.errors import ImagegenError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class OutputImage:
    """A picture as the host names it."""

    filename: str
    subfolder: str
    type: str


def read(host: str, prompt_id: str, entry: Any, node: str) -> tuple[OutputImage, ...]:
    """Return the pictures that `node` made.

    Raises PictureMissing if there are none, DrawingFailed, OutOfMemory or PromptLost if the prompt
    did not end well, HostLost if the entry is none of ComfyUI's.
    """
    expect_success(host, prompt_id, entry)
    files = _told(host, prompt_id, lambda: _files(entry["outputs"].get(node) or {}))
    if not files:
        # The id too: a graph may have several save nodes of one name.
        named, place = title(_graph(entry), node), f"node {node}"
        maker = place if named == place else f"{named}, {place},"
        raise ImageMissing(f"{maker} made no picture in {prompt_id} on {host}")
    return files


def expect_success(host: str, prompt_id: str, entry: Any) -> None:
    """Return if the prompt ended well; errors are those of `read`, PictureMissing aside."""
    error = _told(host, prompt_id, lambda: _error(host, prompt_id, entry))
    if error:
        raise error


def _told(host: str, prompt_id: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    # Not raised from what was caught, which may quote the entry.
    raise HostLost(f"{host} tells of {prompt_id} what no ComfyUI tells")


def _error(host: str, prompt_id: str, entry: Mapping[str, Any]) -> ImagegenError | None:
    status = entry["status"]
    if status["status_str"] == "success":
        return None
    # Interrupted prompts are noted as errors too; the messages tell them apart.
    messages = dict(status["messages"])
    if "execution_error" in messages:
        told = {"prompt_id": prompt_id, **messages["execution_error"]}
        return read_failure(host, _graph(entry), events.failed(told))
    if "execution_interrupted" in messages:
        return PromptLost(f"somebody interrupted {prompt_id} on {host}")
    return PromptLost(f"{host} did not finish {prompt_id}")


def _graph(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    # Number, id, graph, extra data, outputs. Only sentences need it.
    prompt = entry.get("prompt")
    graph = prompt[2] if isinstance(prompt, list) and len(prompt) > 2 else None
    return graph if isinstance(graph, Mapping) else {}


def _files(output: Mapping[str, Any]) -> tuple[OutputImage, ...]:
    return tuple(
        OutputImage(
            filename=frames.text(image["filename"]),
            subfolder=frames.text(image.get("subfolder", "")),
            type=frames.text(image.get("type", "output")),
        )
        for image in output.get("images") or ()
    )
