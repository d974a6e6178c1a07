"""POST /upload/image and /upload/mask: pictures that a client brings along."""

import asyncio
import io
import json
import posixpath
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web
from PIL import Image

from imagegen.sandbox.comfyui.files import FOLDERS, Files, Name

Form = Mapping[str, Any]


class Uploads:
    """The routes under /upload."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def add_to(self, router: web.UrlDispatcher, prefix: str) -> None:
        router.add_post(f"{prefix}/upload/image", self.image)
        router.add_post(f"{prefix}/upload/mask", self.mask)

    async def image(self, request: web.Request) -> web.Response:
        form: Form = await request.post()
        wanted = _name(form)
        if wanted is None:
            return web.Response(status=400)
        return self._keep(form, wanted, await asyncio.to_thread(form["image"].file.read))

    async def mask(self, request: web.Request) -> web.Response:
        """Keep a picture with the alpha of the uploaded one, under the uploaded one's name."""
        form: Form = await request.post()
        wanted, original = _name(form), self._original(form)
        if wanted is None or original is None:
            return web.Response(status=400)
        mask = await asyncio.to_thread(form["image"].file.read)
        return self._keep(form, wanted, await asyncio.to_thread(_masked, original, mask))

    def _keep(self, form: Form, wanted: Name, picture: bytes) -> web.Response:
        name = wanted
        if form.get("overwrite") not in ("true", "1"):
            name = self._free_name(wanted, picture)
        self._files.put(name, picture)
        told = {"name": name.filename, "subfolder": name.subfolder, "type": name.type}
        return web.json_response(told)

    def _free_name(self, wanted: Name, picture: bytes) -> Name:
        """Return the name, with a number if another picture has it; the same one may."""
        stem, dot = posixpath.splitext(wanted.filename)
        name, number = wanted, 1
        while self._files.get(name) not in (None, picture):
            name = replace(wanted, filename=f"{stem} ({number}){dot}")
            number += 1
        return name

    def _original(self, form: Form) -> bytes | None:
        reference = json.loads(str(form.get("original_ref", "{}")))
        filename = str(reference.get("filename", ""))
        folder, subfolder = reference.get("type", "output"), reference.get("subfolder", "")
        return self._files.get(Name(filename=filename, subfolder=subfolder, type=folder))


def _name(form: Form) -> Name | None:
    """Read where a picture shall go, or None if there is none or it would leave its folder."""
    image = form.get("image")
    if not isinstance(image, web.FileField) or not image.filename:
        return None
    folder = str(form.get("type", "input"))
    subfolder = posixpath.normpath(str(form.get("subfolder", "")) or ".")
    if folder not in FOLDERS or subfolder.startswith(("..", "/")):
        return None
    subfolder = "" if subfolder == "." else subfolder
    return Name(filename=image.filename, subfolder=subfolder, type=folder)


def _masked(original: bytes, mask: bytes) -> bytes:
    with Image.open(io.BytesIO(original)) as picture, Image.open(io.BytesIO(mask)) as cover:
        combined = picture.convert("RGBA")
        combined.putalpha(cover.convert("RGBA").getchannel("A").resize(picture.size))
    png = io.BytesIO()
    combined.save(png, "PNG", compress_level=1)
    return png.getvalue()
