"""Picks the phrases of a setting for one persona, one rating and one variation."""

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chatflow_hook.turn import Rating
from imagegen.prompts.brief import Brief
from imagegen.prompts.scene import Scene, SceneSetting, StoredScene
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
    """Picks phrases by a hash, so that the same stored scene always gives the same scene.

    Each variation has the next pose, framing and light of the lists.
    """

    vocabulary: Vocabulary
    brief: Brief
    stored_scene: StoredScene

    @property
    def scene(self) -> Scene:
        """The six phrases of the scene."""
        return Scene(
            scene=", ".join((self._place_phrase, *self._surroundings())),
            pose=self._pose(),
            clothes=self._clothes(),
            light=self._light(),
            mood=self._mood(),
            camera=self._next("camera", self._habits.cameras or self._defaults.cameras),
        )

    @property
    def _place_phrase(self) -> str:
        if self._place is not None:
            return self._pick("place", self._place.phrases)
        return self._pick("place", self._indoors if self._is_indoors else self._outdoors)

    @functools.cached_property
    def _is_indoors(self) -> bool:
        if self._place is not None:
            return self._place.indoors
        if self._setting.weather is not None:
            return self._setting.weather in _INDOOR_WEATHER
        if self._setting.season is not None:
            return False
        # The conversation does not tell, so one is picked from the usual places of both kinds.
        options = [*([True] * len(self._indoors)), *([False] * len(self._outdoors))]
        return self._time in _INDOOR_TIMES or self._pick("roof", options)

    def _surroundings(self) -> Iterator[str]:
        """Yield the phrases of the season (outdoors only), the weather and the time of day."""
        if self._season is not None and not self._is_indoors:
            yield self._pick("season", self._season.phrases)
        if self._weather is not None:
            yield self._weather.indoors if self._is_indoors else self._weather.outdoors
        if self._time is not None:
            yield self._pick("time", self.vocabulary.time[self._time].phrases)

    def _pose(self) -> str:
        if self._activity is not None:
            return self._next("pose", self._activity.phrases)
        return self._next("pose", self.vocabulary.poses.at(self._rating))

    def _clothes(self) -> str:
        clothes = self._pick("clothes", self._clothes_options())
        extras = () if self._is_indoors else self._extras()
        return ", with ".join((clothes, *(extra for extra in extras if extra not in clothes)))

    def _clothes_options(self) -> Sequence[str]:
        for candidate in self._clothes_of_setting():
            if candidate is not None:
                return candidate.at(self._rating)
        if self._rating is Rating.SAFE:
            return self._habits.clothes or self._defaults.clothes
        return self._habits.evening_clothes or self._defaults.evening_clothes

    def _clothes_of_setting(self) -> Iterator[ClothesWord | ByRating | None]:
        """Yield the clothes named in the conversation, then those of the activity and the place."""
        if self._setting.clothes not in self._habits.never_wears:
            yield self._named_clothes
        yield self._activity.clothes if self._activity else None
        yield self._place.clothes if self._place else None

    def _extras(self) -> tuple[str, ...]:
        """Return what is worn or carried for the weather and the season, such as one coat."""
        extras = (word.accessory for word in (self._weather, self._season) if word is not None)
        return tuple(dict.fromkeys(filter(None, extras)))

    def _light(self) -> str:
        light = self.vocabulary.light_at(self._time)
        return self._next("light", light.indoors if self._is_indoors else light.outdoors)

    def _mood(self) -> str:
        mood = self._pick("mood", self._habits.moods or self._defaults.moods)
        if self._rating is Rating.SAFE:
            return mood
        return f"{mood}, {self._pick('mood above safe', self.vocabulary.moods.suggestive)}"

    @property
    def _rating(self) -> Rating:
        return self.brief.persona.wording_rating(self.brief.rating)

    @property
    def _habits(self) -> Habits:
        return self.brief.persona.habits

    @property
    def _defaults(self) -> DefaultPhrases:
        return self.vocabulary.otherwise

    @property
    def _indoors(self) -> Sequence[str]:
        return self._habits.indoors or self._defaults.indoors

    @property
    def _outdoors(self) -> Sequence[str]:
        return self._habits.outdoors or self._defaults.outdoors

    @property
    def _setting(self) -> SceneSetting:
        return self.stored_scene.setting

    # The setting may be a stored one with keys that the vocabulary does not have any more.

    @property
    def _place(self) -> PlaceWord | None:
        return self.vocabulary.place.get(self._setting.place or "")

    @property
    def _time(self) -> str | None:
        return self._setting.time if self._setting.time in self.vocabulary.time else None

    @property
    def _season(self) -> SeasonWord | None:
        return self.vocabulary.season.get(self._setting.season or "")

    @property
    def _weather(self) -> WeatherWord | None:
        return self.vocabulary.weather.get(self._setting.weather or "")

    @property
    def _named_clothes(self) -> ClothesWord | None:
        return self.vocabulary.clothes.get(self._setting.clothes or "")

    @property
    def _activity(self) -> ActivityWord | None:
        return self.vocabulary.activity.get(self._setting.activity or "")

    def _next(self, kind: str, options: Sequence[_T]) -> _T:
        """Pick the option that is as many places further as the variation's number."""
        # A cover is no variation of another picture; its number is part of the stored scene's `shuffle`.
        offset = self.brief.variation if self.brief.kind.has_dialog else 0
        return self._pick(kind, options, offset=offset)

    def _pick(self, kind: str, options: Sequence[_T], *, offset: int = 0) -> _T:
        key = f"{kind}:{self.brief.persona.name}:{self.stored_scene.shuffle}"
        digest = hashlib.sha256(key.encode(errors="replace")).digest()
        return options[(int.from_bytes(digest[:8], "big") + offset) % len(options)]
