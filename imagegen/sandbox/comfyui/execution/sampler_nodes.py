"""Nodes that take time or leave something behind: samplers and save nodes."""

import asyncio
import io
import json
import random
import re
import string
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagegen.sandbox.comfyui.execution.cache import NodeOutput
from imagegen.sandbox.comfyui.execution.drawing import paint_preview
from imagegen.sandbox.comfyui.execution.files import EscapeError
from imagegen.sandbox.comfyui.execution.image_nodes import image_batch
from imagegen.sandbox.comfyui.execution.node_context import (
    Guider,
    Latent,
    Model,
    NodeContext,
    NodeError,
    PaintedScene,
)
from imagegen.sandbox.comfyui.execution.node_order import Graph

Inputs = Mapping[str, Any]

# Words of a file name that are not the name of a persona.
_NO_PERSONA = {"lora", "loras", "persona", "z", "zimage", "image", "turbo", "v"}


async def _sample(inputs: Inputs, context: NodeContext) -> NodeOutput:
    guider = Guider(model=inputs["model"], text=inputs["positive"].text)
    seed = inputs["seed"] if "seed" in inputs else inputs["noise_seed"]
    latent = await _draw(context, guider, seed, inputs["steps"], inputs["latent_image"])
    return NodeOutput(values=(latent,))


async def _sample_custom(inputs: Inputs, context: NodeContext) -> NodeOutput:
    guider = Guider(model=inputs["model"], text=inputs["positive"].text)
    seed, steps = inputs["noise_seed"], inputs["sigmas"]
    latent = await _draw(context, guider, seed, steps, inputs["latent_image"])
    return NodeOutput(values=(latent, latent))


async def _sample_guided(inputs: Inputs, context: NodeContext) -> NodeOutput:
    guider, seed, steps = inputs["guider"], inputs["noise"], inputs["sigmas"]
    latent = await _draw(context, guider, seed, steps, inputs["latent_image"])
    return NodeOutput(values=(latent, latent))


async def _draw(
    context: NodeContext, guider: Guider, seed: int, steps: int, latent: Latent
) -> Latent:
    persona = _persona_of(guider.model) or _persona_of_prefix(context.graph) or "nobody"
    scene = PaintedScene(persona=persona.title(), seed=seed, text=guider.text)
    size = _drawn_size(latent, context.longest_side)
    await context.draw(
        steps, lambda step: asyncio.to_thread(paint_preview, scene, size, step / steps)
    )
    width, height = size
    return replace(latent, width=width, height=height, scene=scene)


def _drawn_size(latent: Latent, longest_side: int | None) -> tuple[int, int]:
    width, height = latent.width, latent.height
    if longest_side is None or longest_side >= max(width, height):
        return width, height
    scale = longest_side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _persona_of(model: Model) -> str:
    for lora in model.loras:
        if name := _name_in(PurePath(lora.replace("\\", "/")).stem):
            return name
    return ""


def _persona_of_prefix(graph: Graph) -> str:
    prefixes = [node.get("inputs", {}).get("filename_prefix") for node in graph.values()]
    names = (_name_in(PurePath(prefix).name) for prefix in prefixes if isinstance(prefix, str))
    return next((name for name in names if name), "")


def _name_in(stem: str) -> str:
    words = [word for word in re.split(r"[^a-z]+", stem.lower()) if word]
    return next((word for word in words if word not in _NO_PERSONA), "")


async def _save_output(inputs: Inputs, context: NodeContext) -> NodeOutput:
    return await _save_images(inputs, context, inputs["filename_prefix"], "output")


async def _save_preview(inputs: Inputs, context: NodeContext) -> NodeOutput:
    suffix = "".join(random.choices(string.ascii_lowercase, k=5))  # noqa: S311 a name, no secret
    return await _save_images(inputs, context, f"ComfyUI_temp_{suffix}", "temp")


async def _save_images(
    inputs: Inputs, context: NodeContext, prefix: str, folder: str
) -> NodeOutput:
    names = []
    metadata = _png_metadata(context)
    for number, image in enumerate(image_batch(inputs["images"])):
        png = await asyncio.to_thread(_encode_png, image, metadata)
        try:
            name = context.files.save(prefix, folder, png, batch_number=number)
        except EscapeError as refusal:
            raise NodeError("Exception", str(refusal)) from refusal
        names.append(name.as_json())
    return NodeOutput(values=(inputs["images"],), ui={"images": names})


async def _send_images(inputs: Inputs, context: NodeContext) -> NodeOutput:
    images = image_batch(inputs["images"])
    for number, image in enumerate(images):
        png = await asyncio.to_thread(_encode_png, image, None)
        context.send_image(png, number, len(images))
    return NodeOutput(values=())


def _png_metadata(context: NodeContext) -> PngInfo | None:
    if not context.writes_metadata:
        return None
    metadata = PngInfo()
    metadata.add_text("prompt", json.dumps(context.graph))
    for key, value in (context.extra_pnginfo or {}).items():
        metadata.add_text(key, json.dumps(value))
    return metadata


def _encode_png(image: Image.Image, metadata: PngInfo | None) -> bytes:
    png = io.BytesIO()
    # Low compression: it costs little CPU time, and the network is the loopback interface.
    image.save(png, "PNG", pnginfo=metadata, compress_level=1)
    return png.getvalue()


SAMPLER_AND_SAVE_NODES: Mapping[str, Any] = {
    "KSampler": _sample,
    "KSamplerAdvanced": _sample,
    "SamplerCustom": _sample_custom,
    "SamplerCustomAdvanced": _sample_guided,
    "SaveImage": _save_output,
    "PreviewImage": _save_preview,
    "SaveImageWebsocket": _send_images,
}
