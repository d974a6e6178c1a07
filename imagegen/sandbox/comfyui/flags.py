"""The flags that a host was started with, as ComfyUI's command line names them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Flags:
    """What whoever started the host chose; without any it is as a plain `main.py` starts it."""

    # --preview-method: none, auto, latent2rgb or taesd. All but none show a sampler's steps.
    preview_method: str = "none"
    # --cache-lru: so many nodes are remembered, whatever the last prompt used. 0 is the default
    # cache, which remembers what the last prompt used.
    cache_lru: int = 0

    @property
    def argv(self) -> list[str]:
        argv = ["main.py"]
        if self.preview_method != "none":
            argv += ["--preview-method", self.preview_method]
        if self.cache_lru:
            argv += ["--cache-lru", str(self.cache_lru)]
        return argv
