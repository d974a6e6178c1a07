"""An entry of a host's history → the pictures that it tells of; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.comfy.errors import DrawingFailed, HostLost, PictureMissing, PromptLost


@dataclass(frozen=True, kw_only=True)
class PictureFile:
    """A picture as the host names it."""

    filename: str
    subfolder: str
    type: str


def read(host: str, prompt_id: str, entry: Any, node: str) -> tuple[PictureFile, ...]:
    """Return the pictures that `node` made.

    Raises PictureMissing if there are none, DrawingFailed or PromptLost if the prompt did not end
    well, HostLost if the entry is none of ComfyUI's.
    """
    try:
        expect_success(host, prompt_id, entry)
        files = _files(entry["outputs"].get(node) or {})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HostLost(f"{host} tells of {prompt_id} what no ComfyUI tells") from error
    if not files:
        raise PictureMissing(f"{host} made no picture at node {node} of {prompt_id}")
    return files


def expect_success(host: str, prompt_id: str, entry: Any) -> None:
    """Return if the prompt ended well; errors are those of `read`, PictureMissing aside."""
    status = entry["status"]
    if status["status_str"] == "success":
        return
    # Interrupted prompts are noted as errors too; the messages tell them apart.
    messages = dict(status["messages"])
    if "execution_error" in messages:
        raise DrawingFailed(f"a node of {prompt_id} raised on {host}")
    raise PromptLost(f"{host} did not finish {prompt_id}")


def _files(output: Mapping[str, Any]) -> tuple[PictureFile, ...]:
    return tuple(
        PictureFile(
            filename=str(image["filename"]),
            subfolder=str(image["subfolder"]),
            type=str(image["type"]),
        )
        for image in output.get("images") or ()
    )
