"""A history entry of a prompt → its images, or the error with which it ended; pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from imagegen.comfy import events, frame_fields
from imagegen.comfy.error_messages import read_failure, title
from imagegen.comfy.errors import HostLost, ImageMissing, PromptLost
from imagegen.errors import ImagegenError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class OutputImage:
    """An image file as the host's /view route takes it."""

    filename: str
    subfolder: str
    type: str


def read(host: str, prompt_id: str, entry: Any, node: str) -> tuple[OutputImage, ...]:
    """Return the images that `node` made; at least one.

    Raises:
        ImageMissing: the prompt ended well and the node made no image.
        DrawingFailed: a node raised an exception.
        OutOfMemory: a node ran out of memory.
        PromptLost: the prompt was interrupted or not finished.
        HostLost: ComfyUI writes no such entry.
    """
    expect_success(host, prompt_id, entry)
    images = _well_formed(host, prompt_id, lambda: images_of(entry["outputs"].get(node) or {}))
    if not images:
        # The sentence names the id too: a graph may have several save nodes with one title.
        named, with_id = title(_graph(entry), node), f"node {node}"
        maker = with_id if named == with_id else f"{named}, {with_id},"
        raise ImageMissing(f"{maker} made no picture in {prompt_id} on {host}")
    return images


def expect_success(host: str, prompt_id: str, entry: Any) -> None:
    """Return if the prompt ended well.

    Raises:
        DrawingFailed: a node raised an exception.
        OutOfMemory: a node ran out of memory.
        PromptLost: the prompt was interrupted or not finished.
        HostLost: ComfyUI writes no such entry.
    """
    error = _well_formed(host, prompt_id, lambda: _error(host, prompt_id, entry))
    if error:
        raise error


def images_of(output: Mapping[str, Any]) -> tuple[OutputImage, ...]:
    """Return the images of a node's output, which an entry and a frame have in the same form.

    Raises:
        KeyError, TypeError, AttributeError: ComfyUI writes no such output.
    """
    return tuple(
        OutputImage(
            filename=frame_fields.text(image["filename"]),
            subfolder=frame_fields.text(image.get("subfolder", "")),
            type=frame_fields.text(image.get("type", "output")),
        )
        for image in output.get("images") or ()
    )


def _well_formed(host: str, prompt_id: str, read: Callable[[], T]) -> T:
    """Return what `read` returns; if it finds another shape than expected, raise HostLost."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    # Raised outside of the except block: the caught error may quote the entry, which holds the
    # prompt, and would be shown as this error's context.
    raise HostLost(f"{host} tells of {prompt_id} what no ComfyUI tells")


def _error(host: str, prompt_id: str, entry: Mapping[str, Any]) -> ImagegenError | None:
    status = entry["status"]
    if status["status_str"] == "success":
        return None
    # An interrupted prompt has the status "error" too; the messages tell the two apart.
    messages = dict(status["messages"])
    if "execution_error" in messages:
        fields = {"prompt_id": prompt_id, **messages["execution_error"]}
        return read_failure(host, _graph(entry), events.failed_event(fields))
    if "execution_interrupted" in messages:
        return PromptLost(f"somebody interrupted {prompt_id} on {host}")
    return PromptLost(f"{host} did not finish {prompt_id}")


def _graph(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    # The list holds number, id, graph, extra data and outputs. The graph is needed for sentences
    # only, so a list of another shape is not an error.
    prompt = entry.get("prompt")
    graph = prompt[2] if isinstance(prompt, list) and len(prompt) > 2 else None
    return graph if isinstance(graph, Mapping) else {}
