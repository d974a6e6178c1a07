"""The node classes of the sandbox, as in /object_info."""

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

# The model folder behind each list of files. Other entries of a list come with ComfyUI.
LISTS_OF_MODELS = {
    ("UNETLoader", "unet_name"): "diffusion_models",
    ("CLIPLoader", "clip_name"): "text_encoders",
    ("DualCLIPLoader", "clip_name1"): "text_encoders",
    ("DualCLIPLoader", "clip_name2"): "text_encoders",
    ("VAELoader", "vae_name"): "vae",
    ("LoraLoader", "lora_name"): "loras",
    ("LoraLoaderModelOnly", "lora_name"): "loras",
    ("CheckpointLoaderSimple", "ckpt_name"): "checkpoints",
    ("UpscaleModelLoader", "model_name"): "upscale_models",
}


class NodeDefinitions:
    """The node classes of one version, with one host's model files in their lists."""

    def __init__(self, version: str, models: Mapping[str, Sequence[str]]) -> None:
        path = resources.files(__package__) / "object_info" / f"{version}.json"
        self.classes: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for (class_type, name), folder in LISTS_OF_MODELS.items():
            self._fill(class_type, name, sorted(models.get(folder, ())))

    def __contains__(self, class_type: object) -> bool:
        return class_type in self.classes

    def inputs(self, class_type: str) -> dict[str, tuple[Any, dict[str, Any], bool]]:
        """Return a class's inputs by name: type (or choices), settings, whether it is required."""
        sections = self.classes[class_type]["input"]
        return {
            name: (spec[0], spec[1] if len(spec) > 1 else {}, section == "required")
            for section in ("required", "optional")
            for name, spec in sections.get(section, {}).items()
        }

    def hidden(self, class_type: str) -> dict[str, str]:
        return dict(self.classes[class_type]["input"].get("hidden", {}))

    def outputs(self, class_type: str) -> list[str]:
        return list(self.classes[class_type]["output"])

    def is_output(self, class_type: str) -> bool:
        return bool(self.classes[class_type]["output_node"])

    def as_json(self, class_type: str | None = None) -> dict[str, Any]:
        """Return what /object_info answers; it is not to be changed."""
        if class_type is None:
            return self.classes
        known = self.classes.get(class_type)
        return {} if known is None else {class_type: known}

    def _fill(self, class_type: str, name: str, files: list[str]) -> None:
        spec = self.classes[class_type]["input"]["required"][name]
        if spec[0] == "COMBO":
            spec[1]["options"] = files
        else:
            spec[0] = [*files, *spec[0]]
