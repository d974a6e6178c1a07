"""Setting: what a conversation says of place, time, weather, clothes and activity."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Category = Literal["place", "time", "season", "weather", "clothes", "activity"]
CATEGORIES: tuple[Category, ...] = ("place", "time", "season", "weather", "clothes", "activity")


class Setting(BaseModel):
    """Keys of vocabulary.toml, never words of the talk; None where the talk says nothing."""

    # It is kept in rows, and a later version may know other categories.
    model_config = ConfigDict(extra="ignore", frozen=True)

    place: str | None = None
    time: str | None = None
    season: str | None = None
    weather: str | None = None
    clothes: str | None = None
    activity: str | None = None

    @property
    def found(self) -> Mapping[Category, str]:
        """What the talk does say."""
        said: dict[str, Any] = self.model_dump(exclude_none=True)
        return {category: said[category] for category in CATEGORIES if category in said}

    @property
    def sky(self) -> "Setting":
        """Only what concerns everybody alike: time, season and weather."""
        return Setting(time=self.time, season=self.season, weather=self.weather)
