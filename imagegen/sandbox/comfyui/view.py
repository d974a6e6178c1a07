"""GET /view: a saved picture as it is, or re-encoded."""

import asyncio
import hashlib
import io
import posixpath
import re
from collections.abc import Mapping

from aiohttp import web
from PIL import Image

from imagegen.sandbox.comfyui.files import Files, Name

_FOLDERS = ("output", "temp", "input")


async def view(files: Files, query: Mapping[str, str]) -> web.Response:
    """Answer a request for a picture, refusals included."""
    filename, folder = _annotated(query.get("filename", ""), query.get("type", "output"))
    if not filename:
        return web.Response(status=404)
    if filename.startswith("/") or ".." in filename or folder not in _FOLDERS:
        return web.Response(status=400)
    subfolder = posixpath.normpath(query.get("subfolder") or ".")
    if subfolder.startswith(("..", "/")):
        return web.Response(status=403)
    name = Name(
        filename=posixpath.basename(filename),
        subfolder="" if subfolder == "." else subfolder,
        type=folder,
    )
    png = files.get(name)
    if png is None:
        return web.Response(status=404)
    return await _shown(png, name.filename, query)


def _annotated(filename: str, folder: str) -> tuple[str, str]:
    match = re.fullmatch(r"(.+) \[(output|temp|input)\]", filename)
    return (match[1], match[2]) if match else (filename, folder)


async def _shown(png: bytes, filename: str, query: Mapping[str, str]) -> web.Response:
    headers = {"Content-Disposition": f'filename="{filename}"'}
    if "preview" in query:
        format_, _, quality = query["preview"].partition(";")
        format_ = format_ if format_ in ("webp", "jpeg") else "webp"
        share = int(quality) if quality.isdigit() else 90
        body = await asyncio.to_thread(_re_encoded, png, format_, share)
        return web.Response(body=body, headers=headers, content_type=f"image/{format_}")
    if query.get("channel") in ("rgb", "a"):
        body = await asyncio.to_thread(_channel, png, query["channel"])
        return web.Response(body=body, headers=headers, content_type="image/png")
    headers["Etag"] = f'"{hashlib.md5(png, usedforsecurity=False).hexdigest()[:16]}"'
    return web.Response(body=png, headers=headers, content_type="image/png")


def _re_encoded(png: bytes, format_: str, quality: int) -> bytes:
    # What the graph says stays behind: only the picture is encoded again.
    with Image.open(io.BytesIO(png)) as image:
        encoded = io.BytesIO()
        image.convert("RGB").save(encoded, format_, quality=quality)
    return encoded.getvalue()


def _channel(png: bytes, channel: str) -> bytes:
    with Image.open(io.BytesIO(png)) as image:
        alpha = image.convert("RGBA").getchannel("A")
        opaque = Image.new("RGBA", image.size)
        opaque.putalpha(alpha)
        chosen = image.convert("RGB") if channel == "rgb" else opaque
        encoded = io.BytesIO()
        chosen.save(encoded, "PNG")
    return encoded.getvalue()
