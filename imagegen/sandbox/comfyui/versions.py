"""The differences between ComfyUI versions, as far as a client can see them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_OLD_FOLDERS = (
    "checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision",
    "style_models", "embeddings", "diffusers", "vae_approx", "controlnet", "gligen",
    "upscale_models", "custom_nodes", "hypernetworks", "photomaker", "classifiers",
    "model_patches", "audio_encoders",
)  # fmt: skip
_NEW_FOLDERS = (
    "checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision",
    "style_models", "embeddings", "diffusers", "vae_approx", "controlnet", "gligen",
    "upscale_models", "latent_upscale_models", "custom_nodes", "datasets", "hypernetworks",
    "photomaker", "classifiers", "model_patches", "audio_encoders", "background_removal",
    "frame_interpolation", "geometry_estimation", "optical_flow", "detection",
)  # fmt: skip
_NEW_PACKAGES = (
    "comfyui-frontend-package", "comfyui-workflow-templates", "comfyui-embedded-docs",
    "comfy-kitchen", "comfy-aimdo",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version to simulate; each field is a difference recorded from real servers."""

    name: str
    reported: str
    # The folders of models/ that GET /models lists.
    folders: tuple[str, ...]
    system: Mapping[str, Any]
    features: Mapping[str, Any]
    # An unknown class is refused as `missing_node_type` with details; older ones: `invalid_prompt`.
    names_missing_nodes: bool
    # A prompt_id that is not a canonical UUID is refused; older ones accept anything.
    wants_uuids: bool
    # A prompt that is a list makes the handler fail (500); older ones answer that it has no output.
    breaks_on_lists: bool
    # A cycle in the graph is reported with its nodes; older ones refuse it without a reason.
    explains_cycles: bool
    # extra_data gets a create_time.
    stamps_creation: bool
    # GET and POST /api/jobs exist.
    has_jobs: bool
    # The least time between two progress frames, in seconds; the first and the last always come.
    progress_pause_s: float
    # The cache drops unused nodes after a prompt succeeded; older ones do it before it starts.
    forgets_on_success: bool
    # Several outputs run in the graph's order; older ones iterate over an unordered set.
    keeps_output_order: bool
    # The refusal to save outside the output folder also names the common path.
    tells_common_path: bool
    # The exception's name when the GPU is out of memory, with the torch release of that time.
    out_of_memory: str
    # extra_data.preview_method of a prompt overrides the flag of the command line.
    takes_preview_method: bool
    # A browser's cross-site request is refused by Sec-Fetch-Site too, not by Origin alone.
    refuses_cross_site: bool


NEW = Version(
    name="0.33",
    reported="0.33.0",
    folders=_NEW_FOLDERS,
    system={
        "os": "linux",
        "required_frontend_version": "none",
        "installed_templates_version": None,
        "required_templates_version": "none",
        "comfy_package_versions": [
            {"name": name, "installed": None, "required": "none"} for name in _NEW_PACKAGES
        ],
        "deploy_environment": "local-git",
    },
    features={
        "supports_preview_metadata": True,
        "supports_model_type_tags": True,
        "max_upload_size": 104857600,
        "extension": {"manager": {"supports_v4": True}},
        "node_replacements": True,
        "assets": False,
    },
    names_missing_nodes=True,
    wants_uuids=True,
    breaks_on_lists=True,
    explains_cycles=True,
    stamps_creation=True,
    has_jobs=True,
    progress_pause_s=0.1,
    forgets_on_success=True,
    keeps_output_order=True,
    tells_common_path=False,
    out_of_memory="torch.OutOfMemoryError",
    takes_preview_method=True,
    refuses_cross_site=True,
)

OLD = Version(
    name="0.3.64",
    reported="0.3.64",
    folders=_OLD_FOLDERS,
    system={
        "os": "posix",
        "required_frontend_version": "none",
        "installed_templates_version": None,
        "required_templates_version": "none",
    },
    features={"supports_preview_metadata": True, "max_upload_size": 104857600},
    names_missing_nodes=False,
    wants_uuids=False,
    breaks_on_lists=False,
    explains_cycles=False,
    stamps_creation=False,
    has_jobs=False,
    progress_pause_s=0.0,
    forgets_on_success=False,
    keeps_output_order=False,
    tells_common_path=True,
    out_of_memory="torch.cuda.OutOfMemoryError",
    takes_preview_method=False,
    refuses_cross_site=False,
)

VERSIONS: Mapping[str, Version] = {version.name: version for version in (NEW, OLD)}
