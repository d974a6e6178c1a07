"""Images over HTTP: POST /upload/image and /upload/mask, GET /view."""

import asyncio
import hashlib
import io
import json
import posixpath
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web
from PIL import Image

from imagegen.sandbox.comfyui.execution.files import FOLDERS, FileName, ImageFolders
from imagegen.sandbox.comfyui.execution.image_nodes import split_folder

Form = Mapping[str, Any]


class UploadRoutes:
    """The routes under /upload."""

    def __init__(self, files: ImageFolders) -> None:
        self._files = files

    def add_to(self, router: web.UrlDispatcher, prefix: str) -> None:
        router.add_post(f"{prefix}/upload/image", self.image)
        router.add_post(f"{prefix}/upload/mask", self.mask)

    async def image(self, request: web.Request) -> web.Response:
        form: Form = await request.post()
        requested = _name(form)
        if requested is None:
            return web.Response(status=400)
        return self._store(form, requested, await asyncio.to_thread(form["image"].file.read))

    async def mask(self, request: web.Request) -> web.Response:
        """Store the original image with the alpha channel of the uploaded one."""
        form: Form = await request.post()
        requested, original = _name(form), self._original(form)
        if requested is None or original is None:
            return web.Response(status=400)
        mask = await asyncio.to_thread(form["image"].file.read)
        return self._store(form, requested, await asyncio.to_thread(_masked, original, mask))

    def _store(self, form: Form, requested: FileName, image: bytes) -> web.Response:
        name = requested
        if form.get("overwrite") not in ("true", "1"):
            name = self._free_name(requested, image)
        self._files.put(name, image)
        answer = {"name": name.filename, "subfolder": name.subfolder, "type": name.type}
        return web.json_response(answer)

    def _free_name(self, requested: FileName, image: bytes) -> FileName:
        """Return the name, with a number if another image has it; equal bytes may share a name."""
        stem, dot = posixpath.splitext(requested.filename)
        name, number = requested, 1
        while self._files.get(name) not in (None, image):
            name = replace(requested, filename=f"{stem} ({number}){dot}")
            number += 1
        return name

    def _original(self, form: Form) -> bytes | None:
        reference = json.loads(str(form.get("original_ref", "{}")))
        filename = str(reference.get("filename", ""))
        folder, subfolder = reference.get("type", "output"), reference.get("subfolder", "")
        return self._files.get(FileName(filename=filename, subfolder=subfolder, type=folder))


def _name(form: Form) -> FileName | None:
    """Return where to store an upload; None if there is no file, or it would leave its folder."""
    image = form.get("image")
    if not isinstance(image, web.FileField) or not image.filename:
        return None
    folder = str(form.get("type", "input"))
    subfolder = posixpath.normpath(str(form.get("subfolder", "")) or ".")
    if folder not in FOLDERS or subfolder.startswith(("..", "/")):
        return None
    subfolder = "" if subfolder == "." else subfolder
    return FileName(filename=image.filename, subfolder=subfolder, type=folder)


def _masked(original: bytes, mask: bytes) -> bytes:
    with Image.open(io.BytesIO(original)) as image, Image.open(io.BytesIO(mask)) as mask_image:
        combined = image.convert("RGBA")
        combined.putalpha(mask_image.convert("RGBA").getchannel("A").resize(image.size))
    png = io.BytesIO()
    combined.save(png, "PNG", compress_level=1)
    return png.getvalue()


async def view(files: ImageFolders, request: web.Request) -> web.Response:
    """Answer GET /view: a whole file, a range of it, a channel, or re-encoded as a preview.

    404 for a missing file, 400 and 403 for a name that leads out of its folder.
    """
    query = request.query
    filename, folder = split_folder(query.get("filename", ""), query.get("type", "output"))
    if not filename:
        return web.Response(status=404)
    if filename.startswith("/") or ".." in filename or folder not in FOLDERS:
        return web.Response(status=400)
    subfolder = posixpath.normpath(query.get("subfolder") or ".")
    if subfolder.startswith(("..", "/")):
        return web.Response(status=403)
    name = FileName(
        filename=posixpath.basename(filename),
        subfolder="" if subfolder == "." else subfolder,
        type=folder,
    )
    png = files.get(name)
    if png is None:
        return web.Response(status=404)
    return await _image_answer(png, name.filename, request)


async def _image_answer(png: bytes, filename: str, request: web.Request) -> web.Response:
    query = request.query
    headers = {"Content-Disposition": f'filename="{filename}"'}
    if "preview" in query:
        format_, _, quality = query["preview"].partition(";")
        format_ = format_ if format_ in ("webp", "jpeg") else "webp"
        percent = int(quality) if quality.isdigit() else 90
        body = await asyncio.to_thread(_re_encoded, png, format_, percent)
        return web.Response(body=body, headers=headers, content_type=f"image/{format_}")
    if query.get("channel") in ("rgb", "a"):
        body = await asyncio.to_thread(_channel, png, query["channel"])
        return web.Response(body=body, headers=headers, content_type="image/png")
    headers["Etag"] = f'"{hashlib.md5(png, usedforsecurity=False).hexdigest()[:16]}"'
    return _file_or_range(png, headers, request)


def _file_or_range(png: bytes, headers: dict[str, str], request: web.Request) -> web.Response:
    """Answer with the whole file, or with the byte range that was requested."""
    headers |= {"Accept-Ranges": "bytes"}
    requested = request.http_range
    if requested.start is None:
        return web.Response(body=png, headers=headers, content_type="image/png")
    start, end, _ = requested.indices(len(png))
    if start >= end:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(png)}"})
    headers |= {"Content-Range": f"bytes {start}-{end - 1}/{len(png)}"}
    return web.Response(status=206, body=png[start:end], headers=headers, content_type="image/png")


def _re_encoded(png: bytes, format_: str, quality: int) -> bytes:
    # The metadata with the graph is dropped: only the pixels are encoded again.
    with Image.open(io.BytesIO(png)) as image:
        encoded = io.BytesIO()
        image.convert("RGB").save(encoded, format_, quality=quality)
    return encoded.getvalue()


def _channel(png: bytes, channel: str) -> bytes:
    with Image.open(io.BytesIO(png)) as image:
        alpha = image.convert("RGBA").getchannel("A")
        opaque = Image.new("RGBA", image.size)
        opaque.putalpha(alpha)
        selected = image.convert("RGB") if channel == "rgb" else opaque
        encoded = io.BytesIO()
        selected.save(encoded, "PNG")
    return encoded.getvalue()
