"""Sketch: what is kept of a picture so that a variation of it can be worded."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from chatflow_hook.turn import Rating
from imagegen.prompts.scene import Scene
from imagegen.prompts.setting import Setting


def _readable(value: Any) -> Any:
    try:
        return Scene.model_validate(value)
    except ValidationError:
        return None


class Sketch(BaseModel):
    """Kept as JSON with the request: keys of the vocabulary, and a model's own phrases.

    `shuffle` is where the picking of phrases begins. `scene` was worded for `rating` and for no
    other, and its pose, framing and light for this `variation`.
    """

    # A row may be older or newer than the code.
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    setting: Setting = Setting()
    shuffle: int = Field(default=0, ge=0, lt=2**16)
    rating: Rating = Rating.SAFE
    variation: int = 0
    is_alone: bool = False
    scene: Annotated[Scene | None, BeforeValidator(_readable)] = None

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Self:
        """Read what was kept; what cannot be read is left out."""
        try:
            return cls.model_validate(kept)
        except ValidationError:
            return cls()

    def kept(self) -> dict[str, Any]:
        """Give what is to be kept."""
        return self.model_dump(mode="json", exclude_none=True)
