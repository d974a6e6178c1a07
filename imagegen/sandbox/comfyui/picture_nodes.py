"""Nodes that make and change pictures; they are slow enough for a thread."""

import math
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageFilter, ImageOps

from imagegen.sandbox.comfyui.desk import NodeError
from imagegen.sandbox.comfyui.painting import paint
from imagegen.sandbox.comfyui.things import Latent, Pictures, Scene

Inputs = Mapping[str, Any]

# More than this is out of memory: no test or demonstration needs it, and a laptop would suffer.
_MEMORY = 512 * 2**20

_RESAMPLING = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def pictures(value: Any) -> tuple[Image.Image, ...]:
    """Take the pictures out of an input; a value in their place fails as on a real server."""
    if not isinstance(value, Pictures):
        name = type(value).__name__
        raise NodeError("AttributeError", f"'{name}' object has no attribute 'cpu'")
    return value.images


def _fit_memory(width: int, height: int, count: int) -> None:
    wanted = width * height * count * 4
    if wanted > _MEMORY:
        raise NodeError(
            "RuntimeError",
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate"
            f" memory: you tried to allocate {wanted} bytes."
            " Error code 12 (Cannot allocate memory)",
        )


def _decoded(inputs: Inputs) -> Pictures:
    latent: Latent = inputs["samples"]
    _fit_memory(latent.width, latent.height, latent.count)
    size = (latent.width, latent.height)
    if latent.scene is None:
        return Pictures((Image.new("RGB", size, (128, 128, 128)),) * latent.count)
    return Pictures(tuple(paint(_nth(latent.scene, at), size) for at in range(latent.count)))


def _nth(scene: Scene, number: int) -> Scene:
    return Scene(persona=scene.persona, seed=scene.seed + number, text=scene.text)


def _empty(inputs: Inputs) -> Pictures:
    width, height, count = inputs["width"], inputs["height"], inputs["batch_size"]
    _fit_memory(width, height, count)
    colour = inputs["color"]
    rgb = (colour >> 16 & 255, colour >> 8 & 255, colour & 255)
    return Pictures((Image.new("RGB", (width, height), rgb),) * count)


def _scaled(inputs: Inputs) -> Pictures:
    images = pictures(inputs["image"])
    old_width, old_height = images[0].size
    width, height = inputs["width"], inputs["height"]
    if not width and not height:
        return Pictures(images)
    width = width or max(1, round(old_width * height / old_height))
    height = height or max(1, round(old_height * width / old_width))
    _fit_memory(width, height, len(images))
    method = _RESAMPLING[inputs["upscale_method"]]
    if inputs["crop"] == "center":
        return Pictures(tuple(ImageOps.fit(each, (width, height), method) for each in images))
    return Pictures(tuple(each.resize((width, height), method) for each in images))


def _scaled_by(inputs: Inputs) -> Pictures:
    width, height = inputs["image"].size
    size = {
        "width": round(width * inputs["scale_by"]),
        "height": round(height * inputs["scale_by"]),
    }
    return _scaled({**inputs, **size, "crop": "disabled"})


def _scaled_with_model(inputs: Inputs) -> Pictures:
    method = {"upscale_method": "bicubic", "scale_by": 4}
    return _scaled_by({"image": inputs["image"], **method})


def _inverted(inputs: Inputs) -> Pictures:
    return Pictures(tuple(ImageOps.invert(each) for each in pictures(inputs["image"])))


def _blurred(inputs: Inputs) -> Pictures:
    images, radius = pictures(inputs["image"]), inputs["blur_radius"]
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
    return Pictures(tuple(each.filter(spread) for each in images))


def _batched(inputs: Inputs) -> Pictures:
    first, second = pictures(inputs["image1"]), pictures(inputs["image2"])
    return Pictures((*first, *(ImageOps.fit(each, first[0].size) for each in second)))


def _mask(inputs: Inputs) -> Pictures:
    _fit_memory(inputs["width"], inputs["height"], 1)
    grey = math.floor(inputs["value"] * 255)
    return Pictures((Image.new("L", (inputs["width"], inputs["height"]), grey),))


PICTURE_NODES: Mapping[str, Any] = {
    "VAEDecode": _decoded,
    "EmptyImage": _empty,
    "ImageScale": _scaled,
    "ImageScaleBy": _scaled_by,
    "ImageUpscaleWithModel": _scaled_with_model,
    "ImageInvert": _inverted,
    "ImageBlur": _blurred,
    "ImageBatch": _batched,
    "SolidMask": _mask,
}
