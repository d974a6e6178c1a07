"""What flows along the links of a graph: models, texts, latents, pictures."""

from dataclasses import dataclass, field

from PIL.Image import Image


@dataclass(frozen=True, kw_only=True)
class Model:
    """A loaded model, with the LoRAs put onto it."""

    file: str
    loras: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """The text that steers a sampler."""

    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Guider:
    """A model and its text, bundled for the custom samplers."""

    model: Model
    text: str


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a picture shows: all that the painter needs."""

    persona: str
    seed: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Latent:
    """A picture yet to be decoded: its size, how many, and what is on it."""

    width: int
    height: int
    count: int
    scene: Scene | None = None


@dataclass(frozen=True)
class Pictures:
    """A batch of pictures; in print it looks like a tensor, as in a real server's errors."""

    images: tuple[Image, ...] = field(repr=False)

    @property
    def size(self) -> tuple[int, int]:
        return self.images[0].size

    def __str__(self) -> str:
        width, height = self.size
        return f"tensor({len(self.images)} pictures of {width} x {height})"
