"""What a recorded client sent that is not in the recording, made from the note before it."""

import ast
import io
import json
import re
from typing import Any

from aiohttp import FormData
from PIL import Image

_UPLOAD = re.compile(r"upload (?P<name>\S+) (?P<size>\d+) bytes (?P<fields>\{.*\})")
_LONG_PROMPT = re.compile(r"(?P<size>\d+) bytes")
_GRAPH = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255},
    },
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "rec"}},
}
_PLAIN = {
    "body not JSON": b"this is no JSON",
    "bad body": b"this is no JSON",
    "JSON body is a list": b"[]",
    "empty body": b"",
    "interrupt with no body at all while idle, then a prompt": b"",
    "wrong content type, valid JSON": json.dumps({"prompt": _GRAPH}).encode(),
}


def raw_body(note: str) -> Any:
    """Return what aiohttp is to send as the body of the call after a note."""
    if note in _PLAIN:
        return _PLAIN[note]
    if match := _UPLOAD.fullmatch(note):
        fields = ast.literal_eval(match["fields"])
        return _form(match["name"], int(match["size"]), fields)
    if match := _LONG_PROMPT.fullmatch(note):
        return io.BytesIO(_long_prompt(int(match["size"])))
    if note == "no image field":
        return FormData({"subfolder": ""})
    if note.startswith("/object_info: "):
        return b"this is no JSON"
    raise AssertionError(note)


def _form(name: str, size: int, fields: dict[str, str]) -> FormData:
    form = FormData(fields)
    picture = io.BytesIO(_picture(name, size))
    form.add_field("image", picture, filename=name, content_type="image/png")
    return form


def _picture(name: str, size: int) -> bytes:
    """Make a picture of so many bytes; what comes after a PNG's end is nobody's business."""
    if not name.endswith(".png") or not size:
        return b"x" * size
    png = io.BytesIO()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(png, "PNG")
    return png.getvalue().ljust(size, b"\0")


def _long_prompt(size: int) -> bytes:
    # Put together by hand: to write so much as JSON takes a second.
    bare = json.dumps({"prompt": _GRAPH, "pad": ""}).encode()
    return bare[:-2] + b"x" * (size - len(bare)) + bare[-2:]
