"""Graphs as people export them, and persona folders to load them from."""

import json
from pathlib import Path
from typing import Any

from imagegen.workflows.binding import BoundGraph, bind
from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.library import Workflow, load_workflows

PERSONA = """
display_name = "Lina"
age = 24
appearance = "Lina is a woman of 24 with black hair."
style = "A photograph."
"""


def node(class_type: str, /, title: str = "", **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}


def plain(**changed: Any) -> dict[str, Any]:
    """Make the graph of the official template with a LoRA; a node given as None is left out."""
    graph = {
        "3": ksampler(),
        "8": node("VAEDecode", samples=["3", 0], vae=["29", 0]),
        "9": node("SaveImage", "Save", images=["8", 0], filename_prefix="ComfyUI"),
        "11": node("ModelSamplingAuraFlow", shift=3.0, model=["40", 0]),
        "13": node("EmptySD3LatentImage", "Size", width=1024, height=768, batch_size=1),
        "27": node("CLIPTextEncode", "Words", text="a cat", clip=["30", 0]),
        "28": node("UNETLoader", unet_name="z.safetensors", weight_dtype="fp8_e4m3fn"),
        "29": node("VAELoader", vae_name="ae.safetensors"),
        "30": node("CLIPLoader", clip_name="qwen.safetensors", type="lumina2"),
        "33": node("ConditioningZeroOut", conditioning=["27", 0]),
        "40": lora(),
        **changed,
    }
    return {node_id: value for node_id, value in graph.items() if value is not None}


def ksampler(**changed: Any) -> dict[str, Any]:
    inputs: dict[str, Any] = {
        "seed": 0,
        "steps": 8,
        "cfg": 1,
        "sampler_name": "euler",
        "scheduler": "simple",
        "denoise": 1,
        "model": ["11", 0],
        "positive": ["27", 0],
        "negative": ["33", 0],
        "latent_image": ["13", 0],
        **changed,
    }
    return node("KSampler", "Draw", **inputs)


def lora(name: str = "lina.safetensors", strength: Any = 0.8, model: str = "28") -> dict[str, Any]:
    return node(
        "LoraLoaderModelOnly", "LoRA", lora_name=name, strength_model=strength, model=[model, 0]
    )


def write_persona_folder(root: Path, graph: Any, *, more: str = "", persona: str = "lina") -> Path:
    """Write a persona's folder; a graph that is a string is written as it stands."""
    folder = root / persona
    folder.mkdir(parents=True)
    (folder / "persona.toml").write_text(PERSONA + more, encoding="utf-8")
    text = graph if isinstance(graph, str) else json.dumps(graph)
    (folder / "workflow.json").write_text(text, encoding="utf-8")
    return folder


def loaded(root: Path, graph: Any, *, more: str = "") -> Workflow:
    write_persona_folder(root, graph, more=more)
    return load_workflows(root).find("lina")


def fault(root: Path, graph: Any, *, more: str = "") -> WorkflowFault:
    write_persona_folder(root, graph, more=more)
    return load_workflows(root).faults["lina"]


def bound(root: Path, graph: Any, *, more: str = "", **asked: Any) -> BoundGraph:
    return drawn(loaded(root, graph, more=more), **asked)


def drawn(workflow: Workflow, **asked: Any) -> BoundGraph:
    return bind(workflow, **{"prompt": "a dog", "seed": 7, "prefix": "p/1", **asked})


def inputs(graph: BoundGraph, node_id: str) -> dict[str, Any]:
    """Give the inputs of a bound node."""
    found: dict[str, Any] = graph.graph[node_id]["inputs"]
    return found


ADVANCED = {
    "3": node(
        "SamplerCustomAdvanced",
        noise=["50", 0],
        guider=["51", 0],
        sampler=["52", 0],
        sigmas=["53", 0],
        latent_image=["13", 0],
    ),
    "50": node("RandomNoise", noise_seed=0),
    "52": node("KSamplerSelect", sampler_name="euler"),
    "53": node("BasicScheduler", model=["11", 0], scheduler="simple", steps=8, denoise=1),
}
BASIC = node("BasicGuider", model=["11", 0], conditioning=["27", 0])
BLANK = node("CLIPTextEncode", text="", clip=["30", 0])
# A second sampler that works on what the first one drew.
REFINED = {
    "60": ksampler(latent_image=["3", 0], positive=["61", 0], seed=1),
    "61": node("CLIPTextEncode", text="fine detail", clip=["30", 0]),
    "8": node("VAEDecode", samples=["60", 0], vae=["29", 0]),
}
