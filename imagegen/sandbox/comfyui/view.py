"""GET /view: a saved picture as it is, or re-encoded."""

import asyncio
import hashlib
import io
import posixpath

from aiohttp import web
from PIL import Image

from imagegen.sandbox.comfyui.files import FOLDERS, Files, Name
from imagegen.sandbox.comfyui.input_images import annotated


async def view(files: Files, request: web.Request) -> web.Response:
    """Answer a request for a picture or a part of one, refusals included."""
    query = request.query
    filename, folder = annotated(query.get("filename", ""), query.get("type", "output"))
    if not filename:
        return web.Response(status=404)
    if filename.startswith("/") or ".." in filename or folder not in FOLDERS:
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
    return await _shown(png, name.filename, request)


async def _shown(png: bytes, filename: str, request: web.Request) -> web.Response:
    query = request.query
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
    return _part(png, headers, request)


def _part(png: bytes, headers: dict[str, str], request: web.Request) -> web.Response:
    """Answer with the whole file, or with the range of it that was asked for."""
    headers |= {"Accept-Ranges": "bytes"}
    wanted = request.http_range
    if wanted.start is None:
        return web.Response(body=png, headers=headers, content_type="image/png")
    start, end, _ = wanted.indices(len(png))
    if start >= end:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(png)}"})
    headers |= {"Content-Range": f"bytes {start}-{end - 1}/{len(png)}"}
    return web.Response(status=206, body=png[start:end], headers=headers, content_type="image/png")


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
