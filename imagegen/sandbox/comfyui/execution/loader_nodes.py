"""Nodes that load models and pass values on; nothing is computed, only names are passed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from imagegen.sandbox.comfyui.execution.node_context import (
    Conditioning,
    Guider,
    Latent,
    Model,
    NodeError,
)

Inputs = Mapping[str, Any]

_FOLDERS = "/comfyui/models"


def _load(file: str, folder: str) -> Model:
    """Load a model file; names that begin with `corrupt` or `unknown_arch` fail like such a file."""
    if file.startswith("corrupt"):
        raise NodeError(
            "safetensors._safetensors_rust.SafetensorError",
            "Error while deserializing header: header too large",
        )
    if file.startswith("unknown_arch"):
        path = f"{_FOLDERS}/{folder}/{file}"
        raise NodeError("RuntimeError", f"ERROR: Could not detect model type of: {path}\n")
    return Model(file=file)


def _load_checkpoint(inputs: Inputs) -> tuple[Any, ...]:
    model = _load(inputs["ckpt_name"], "checkpoints")
    return model, model, model


def _add_lora(inputs: Inputs, model: Model) -> Model:
    _load(inputs["lora_name"], "loras")
    return replace(model, loras=(*model.loras, inputs["lora_name"]))


def _combine(inputs: Inputs) -> Conditioning:
    texts = (inputs["conditioning_1"].text, inputs["conditioning_2"].text)
    return Conditioning(text=", ".join(filter(None, texts)))


def _empty_latent(inputs: Inputs) -> Latent:
    size = {"width": inputs["width"], "height": inputs["height"]}
    return Latent(**size, count=inputs["batch_size"])


def _upscale(inputs: Inputs) -> Latent:
    latent: Latent = inputs["samples"]
    width, height = inputs["width"], inputs["height"]
    if not width and not height:
        return latent
    width = width or round(latent.width * height / latent.height)
    height = height or round(latent.height * width / latent.width)
    return replace(latent, width=width, height=height)


def _encode(inputs: Inputs) -> Latent:
    width, height = inputs["pixels"].size
    return Latent(width=width, height=height, count=len(inputs["pixels"].images))


# A node that returns a tuple has several output slots, else one.
MODEL_NODES: Mapping[str, Any] = {
    "UNETLoader": lambda inputs: _load(inputs["unet_name"], "diffusion_models"),
    "CLIPLoader": lambda inputs: _load(inputs["clip_name"], "text_encoders"),
    "DualCLIPLoader": lambda inputs: _load(inputs["clip_name1"], "text_encoders"),
    "VAELoader": lambda inputs: _load(inputs["vae_name"], "vae"),
    "UpscaleModelLoader": lambda inputs: _load(inputs["model_name"], "upscale_models"),
    "CheckpointLoaderSimple": _load_checkpoint,
    "LoraLoader": lambda inputs: (_add_lora(inputs, inputs["model"]), inputs["clip"]),
    "LoraLoaderModelOnly": lambda inputs: _add_lora(inputs, inputs["model"]),
    "ModelSamplingAuraFlow": lambda inputs: inputs["model"],
    "ModelSamplingSD3": lambda inputs: inputs["model"],
    "CLIPSetLastLayer": lambda inputs: inputs["clip"],
    "CLIPTextEncode": lambda inputs: Conditioning(text=inputs["text"]),
    "ConditioningZeroOut": lambda _inputs: Conditioning(),
    "ConditioningCombine": _combine,
    "FluxGuidance": lambda inputs: inputs["conditioning"],
    "EmptyLatentImage": _empty_latent,
    "EmptySD3LatentImage": _empty_latent,
    "LatentUpscale": _upscale,
    "VAEEncode": _encode,
    "RandomNoise": lambda inputs: inputs["noise_seed"],
    "KSamplerSelect": lambda inputs: inputs["sampler_name"],
    "BasicScheduler": lambda inputs: inputs["steps"],
    "BasicGuider": lambda inputs: Guider(model=inputs["model"], text=inputs["conditioning"].text),
    "CFGGuider": lambda inputs: Guider(model=inputs["model"], text=inputs["positive"].text),
}
