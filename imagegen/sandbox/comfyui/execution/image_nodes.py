"""Nodes that load, make and change images. Pillow blocks, so they run in a thread."""

import asyncio
import io
import math
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageFilter, ImageOps

from imagegen.sandbox.comfyui.execution.cache import NodeOutput
from imagegen.sandbox.comfyui.execution.drawing import paint_portrait
from imagegen.sandbox.comfyui.execution.files import FOLDERS, FileName, ImageFolders
from imagegen.sandbox.comfyui.execution.node_context import (
    Images,
    Latent,
    NodeContext,
    NodeError,
    PaintedScene,
)

Inputs = Mapping[str, Any]


# Larger images fail as out of memory: no test or demo needs them.
_MAX_IMAGE_BYTES = 512 * 2**20


_RESAMPLING = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def find_input_image(files: ImageFolders, image: object) -> bytes | None:
    """Return the bytes of an image by LoadImage's name for it, `sub/name.png` or `name.png [temp]`."""
    path, folder = split_folder(str(image), "input")
    subfolder, filename = posixpath.split(path)
    return files.get(FileName(filename=filename, subfolder=subfolder, type=folder))


def split_folder(filename: str, folder: str) -> tuple[str, str]:
    """Split `name.png [temp]` into the name and its folder; `folder` is the default."""
    match = re.fullmatch(rf"(.+) \[({'|'.join(FOLDERS)})\]", filename)
    return (match[1], match[2]) if match else (filename, folder)


def image_batch(value: Any) -> tuple[Image.Image, ...]:
    """Return the images of an input.

    Raises:
        NodeError: the input holds another value, which fails as on a real server.
    """
    if not isinstance(value, Images):
        name = type(value).__name__
        raise NodeError("AttributeError", f"'{name}' object has no attribute 'cpu'")
    return value.images


async def _load(inputs: Inputs, context: NodeContext) -> NodeOutput:
    found = find_input_image(context.files, inputs["image"])
    if found is None:
        # It existed when the prompt was validated.
        raise NodeError(
            "FileNotFoundError", f"[Errno 2] No such file or directory: {inputs['image']}"
        )
    return NodeOutput(values=await asyncio.to_thread(_decode, found))


def _decode(image_bytes: bytes) -> tuple[Images, Images]:
    try:
        with Image.open(io.BytesIO(image_bytes)) as image:
            alpha = image.convert("RGBA").getchannel("A")
            return Images((image.convert("RGB"),)), Images((alpha,))
    except OSError as error:
        raise NodeError("PIL.UnidentifiedImageError", str(error)) from error


def _check_memory(width: int, height: int, count: int) -> None:
    needed = width * height * count * 4
    if needed > _MAX_IMAGE_BYTES:
        raise NodeError(
            "RuntimeError",
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate"
            f" memory: you tried to allocate {needed} bytes."
            " Error code 12 (Cannot allocate memory)",
        )


def _decode_latent(inputs: Inputs) -> Images:
    latent: Latent = inputs["samples"]
    _check_memory(latent.width, latent.height, latent.count)
    size = (latent.width, latent.height)
    if latent.scene is None:
        return Images((Image.new("RGB", size, (128, 128, 128)),) * latent.count)
    return Images(
        tuple(paint_portrait(_scene_at(latent.scene, at), size) for at in range(latent.count))
    )


def _scene_at(scene: PaintedScene, number: int) -> PaintedScene:
    return PaintedScene(persona=scene.persona, seed=scene.seed + number, text=scene.text)


def _empty_image(inputs: Inputs) -> Images:
    width, height, count = inputs["width"], inputs["height"], inputs["batch_size"]
    _check_memory(width, height, count)
    colour = inputs["color"]
    rgb = (colour >> 16 & 255, colour >> 8 & 255, colour & 255)
    return Images((Image.new("RGB", (width, height), rgb),) * count)


def _scale(inputs: Inputs) -> Images:
    images = image_batch(inputs["image"])
    old_width, old_height = images[0].size
    width, height = inputs["width"], inputs["height"]
    if not width and not height:
        return Images(images)
    width = width or max(1, round(old_width * height / old_height))
    height = height or max(1, round(old_height * width / old_width))
    _check_memory(width, height, len(images))
    method = _RESAMPLING[inputs["upscale_method"]]
    if inputs["crop"] == "center":
        return Images(tuple(ImageOps.fit(each, (width, height), method) for each in images))
    return Images(tuple(each.resize((width, height), method) for each in images))


def _scale_by(inputs: Inputs) -> Images:
    width, height = inputs["image"].size
    size = {
        "width": round(width * inputs["scale_by"]),
        "height": round(height * inputs["scale_by"]),
    }
    return _scale({**inputs, **size, "crop": "disabled"})


def _scale_with_model(inputs: Inputs) -> Images:
    method = {"upscale_method": "bicubic", "scale_by": 4}
    return _scale_by({"image": inputs["image"], **method})


def _invert(inputs: Inputs) -> Images:
    return Images(tuple(ImageOps.invert(each) for each in image_batch(inputs["image"])))


def _blur(inputs: Inputs) -> Images:
    images, radius = image_batch(inputs["image"]), inputs["blur_radius"]
    width, height = images[0].size
    for dimension, length in ((3, width), (2, height)):
        if radius >= length:
            raise NodeError(
                "RuntimeError",
                "Argument #4: Padding size should be less than the corresponding input dimension,"
                f" but got: padding ({radius}, {radius}) at dimension {dimension}"
                f" of input [{len(images)}, 3, {height}, {width}]",
            )
    spread = ImageFilter.GaussianBlur(min(inputs["sigma"], radius))
    return Images(tuple(each.filter(spread) for each in images))


def _batch(inputs: Inputs) -> Images:
    first, second = image_batch(inputs["image1"]), image_batch(inputs["image2"])
    return Images((*first, *(ImageOps.fit(each, first[0].size) for each in second)))


def _solid_mask(inputs: Inputs) -> Images:
    _check_memory(inputs["width"], inputs["height"], 1)
    grey = math.floor(inputs["value"] * 255)
    return Images((Image.new("L", (inputs["width"], inputs["height"]), grey),))


INPUT_NODES: Mapping[str, Any] = {"LoadImage": _load}


IMAGE_NODES: Mapping[str, Any] = {
    "VAEDecode": _decode_latent,
    "EmptyImage": _empty_image,
    "ImageScale": _scale,
    "ImageScaleBy": _scale_by,
    "ImageUpscaleWithModel": _scale_with_model,
    "ImageInvert": _invert,
    "ImageBlur": _blur,
    "ImageBatch": _batch,
    "SolidMask": _solid_mask,
}
