"""Pictures that were uploaded or saved before, as a graph's nodes take them up."""

import asyncio
import io
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from PIL import Image

from imagegen.sandbox.comfyui.cache import Ran
from imagegen.sandbox.comfyui.desk import Desk, NodeError
from imagegen.sandbox.comfyui.files import FOLDERS, Files, Name
from imagegen.sandbox.comfyui.things import Pictures

Inputs = Mapping[str, Any]


def find(files: Files, image: object) -> bytes | None:
    """Look up a picture by what LoadImage calls it: `sub/name.png`, or `name.png [temp]`."""
    path, folder = annotated(str(image), "input")
    subfolder, filename = posixpath.split(path)
    return files.get(Name(filename=filename, subfolder=subfolder, type=folder))


def annotated(filename: str, folder: str) -> tuple[str, str]:
    """Part a name from the folder in brackets behind it, if there is one."""
    match = re.fullmatch(rf"(.+) \[({'|'.join(FOLDERS)})\]", filename)
    return (match[1], match[2]) if match else (filename, folder)


async def _load(inputs: Inputs, desk: Desk) -> Ran:
    found = find(desk.files, inputs["image"])
    if found is None:
        # It was there when the prompt was judged.
        raise NodeError(
            "FileNotFoundError", f"[Errno 2] No such file or directory: {inputs['image']}"
        )
    return Ran(values=await asyncio.to_thread(_opened, found))


def _opened(picture: bytes) -> tuple[Pictures, Pictures]:
    try:
        with Image.open(io.BytesIO(picture)) as image:
            alpha = image.convert("RGBA").getchannel("A")
            return Pictures((image.convert("RGB"),)), Pictures((alpha,))
    except OSError as problem:
        raise NodeError("PIL.UnidentifiedImageError", str(problem)) from problem


INPUT_NODES: Mapping[str, Any] = {"LoadImage": _load}
