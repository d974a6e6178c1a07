"""Wording: a setting becomes phrases for one persona, one rating and one variation."""

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chatflow_hook.turn import Rating
from imagegen.prompts.brief import Brief
from imagegen.prompts.scene import Scene, SceneSetting, SceneSketch
from imagegen.prompts.vocabulary import (
    ActivityWord,
    ByRating,
    ClothesWord,
    DefaultPhrases,
    PlaceWord,
    SeasonWord,
    Vocabulary,
    WeatherWord,
)
from imagegen.workflows.persona import Habits

_INDOOR_WEATHER = {"rain", "snow", "storm", "fog", "wind"}
_INDOOR_TIMES = {"evening", "night"}

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class TemplatePhrases:
    """Picks phrases by a fixed hash; a variation has the next pose, framing and light."""

    known: Vocabulary
    brief: Brief
    sketch: SceneSketch

    @property
    def scene(self) -> Scene:
        """The six phrases."""
        return Scene(
            scene=", ".join((self._where, *self._around())),
            pose=self._pose(),
            clothes=self._clothes(),
            light=self._light(),
            mood=self._mood(),
            camera=self._next("camera", self._habits.cameras or self._otherwise.cameras),
        )

    @property
    def _where(self) -> str:
        if self._place is not None:
            return self._pick("place", self._place.says)
        inside = self._habits.indoors or self._otherwise.indoors
        outside = self._habits.outdoors or self._otherwise.outdoors
        return self._pick("place", inside if self._is_indoors else outside)

    @functools.cached_property
    def _is_indoors(self) -> bool:
        if self._place is not None:
            return self._place.indoors
        if self._setting.weather is not None:
            return self._setting.weather in _INDOOR_WEATHER
        if self._setting.season is not None:
            return False
        # Nobody said anything of it: a habit is picked from both lists.
        inside = self._habits.indoors or self._otherwise.indoors
        outside = self._habits.outdoors or self._otherwise.outdoors
        is_inside = self._pick("roof", [*([True] * len(inside)), *([False] * len(outside))])
        return self._time in _INDOOR_TIMES or is_inside

    def _around(self) -> Iterator[str]:
        """Season outdoors, weather, time of day."""
        if self._season is not None and not self._is_indoors:
            yield self._pick("season", self._season.says)
        if self._weather is not None:
            yield self._weather.indoors if self._is_indoors else self._weather.outdoors
        if self._time is not None:
            yield self._pick("time", self.known.time[self._time].says)

    def _pose(self) -> str:
        if self._activity is not None:
            return self._next("pose", self._activity.says)
        return self._next("pose", self.known.poses.at(self._rating))

    def _clothes(self) -> str:
        worn = self._pick("clothes", self._worn())
        taken = () if self._is_indoors else self._taken_along()
        return ", with ".join((worn, *(one for one in taken if one not in worn)))

    def _worn(self) -> Sequence[str]:
        for wears in self._fitting():
            if wears is not None:
                return wears.at(self._rating)
        if self._rating is Rating.SAFE:
            return self._habits.clothes or self._otherwise.clothes
        return self._habits.evening_clothes or self._otherwise.evening_clothes

    def _fitting(self) -> Iterator[ClothesWord | ByRating | None]:
        if self._setting.clothes not in self._habits.never_wears:
            yield self._known_clothes
        yield self._activity.wears if self._activity else None
        yield self._place.wears if self._place else None

    def _taken_along(self) -> tuple[str, ...]:
        """Give what weather and season make one take along; one coat is enough."""
        wanted = (one.adds for one in (self._weather, self._season) if one is not None)
        return tuple(dict.fromkeys(filter(None, wanted)))

    def _light(self) -> str:
        light = self.known.light_at(self._time)
        return self._next("light", light.indoors if self._is_indoors else light.outdoors)

    def _mood(self) -> str:
        own = self._pick("mood", self._habits.moods or self._otherwise.moods)
        if self._rating is Rating.SAFE:
            return own
        return f"{own}, {self._pick('mood above safe', self.known.moods.suggestive)}"

    @property
    def _rating(self) -> Rating:
        return self.brief.persona.level(self.brief.rating)

    @property
    def _habits(self) -> Habits:
        return self.brief.persona.habits

    @property
    def _otherwise(self) -> DefaultPhrases:
        return self.known.otherwise

    @property
    def _setting(self) -> SceneSetting:
        return self.sketch.setting

    # A key that was kept may be gone from a later vocabulary.

    @property
    def _place(self) -> PlaceWord | None:
        return self.known.place.get(self._setting.place or "")

    @property
    def _time(self) -> str | None:
        return self._setting.time if self._setting.time in self.known.time else None

    @property
    def _season(self) -> SeasonWord | None:
        return self.known.season.get(self._setting.season or "")

    @property
    def _weather(self) -> WeatherWord | None:
        return self.known.weather.get(self._setting.weather or "")

    @property
    def _known_clothes(self) -> ClothesWord | None:
        return self.known.clothes.get(self._setting.clothes or "")

    @property
    def _activity(self) -> ActivityWord | None:
        return self.known.activity.get(self._setting.activity or "")

    def _pick(self, kind: str, options: Sequence[_T], *, turn: int = 0) -> _T:
        said = f"{kind}:{self.brief.persona.name}:{self.sketch.shuffle}"
        digest = hashlib.sha256(said.encode(errors="replace")).digest()
        return options[(int.from_bytes(digest[:8], "big") + turn) % len(options)]

    def _next(self, kind: str, options: Sequence[_T]) -> _T:
        # The covers of a persona are pictures of their own: their numbers are in the sketch.
        turn = self.brief.variation if self.brief.kind.has_dialog else 0
        return self._pick(kind, options, turn=turn)
