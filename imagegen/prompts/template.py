"""The template builder: a scene from the vocabulary and the persona's habits, with no network."""

import functools
import hashlib
from dataclasses import dataclass

from imagegen.prompts.brief import Brief
from imagegen.prompts.conversation_reader import ConversationReader, shipped_reader
from imagegen.prompts.scene import (
    Category,
    Prompt,
    PromptSource,
    Scene,
    SceneSetting,
    SceneSketch,
    write_prompt,
)
from imagegen.prompts.template_phrases import TemplatePhrases
from imagegen.prompts.vocabulary import Vocabulary, shipped_vocabulary
from imagegen.workflows.persona import Persona

# No two covers of a persona that follow each other are at the same time of day.
_TIMES_OF_COVERS = ("morning", "sunset", "day", "evening")
_SIGNS: tuple[Category, ...] = ("activity", "place", "season", "weather", "time", "clothes")


@dataclass(frozen=True, kw_only=True)
class Template:
    """Writes the same prompt for the same brief, on every machine and in every process."""

    known: Vocabulary
    reader: ConversationReader

    def write(self, brief: Brief) -> Prompt:
        """Write a prompt of phrases of ours alone: no word of the talk is in it."""
        sketch = self.sketch(brief)
        words = self.scene(brief, sketch)
        return Prompt(
            text=write_prompt(
                brief.persona,
                words,
                wording=brief.persona.words_for(brief.rating),
                is_alone=sketch.is_alone,
            ),
            summary=self.summary(brief.persona, sketch.setting),
            source=PromptSource.LLM if words is sketch.scene else PromptSource.TEMPLATE,
            scene=sketch.stored(),
        )

    def sketch(self, brief: Brief) -> SceneSketch:
        """Read the talk, or what was kept of the picture that is varied."""
        if brief.scene is not None:
            return self._alone(SceneSketch.read(brief.scene), is_alone=brief.is_alone)
        new = SceneSketch(
            setting=self._read(brief),
            shuffle=_shuffle(brief),
            rating=brief.rating,
            variation=brief.variation,
        )
        return self._alone(new, is_alone=brief.is_alone)

    def scene(self, brief: Brief, sketch: SceneSketch) -> Scene:
        """Word a setting for a persona and a rating; a model's phrases stay where they may."""
        kept = sketch.scene if sketch.rating is brief.rating else None
        if kept is not None and sketch.variation == brief.variation:
            return kept
        words = TemplatePhrases(known=self.known, brief=brief, sketch=sketch).scene
        if kept is None:
            return words
        return words.model_copy(update=kept.model_dump(include={"scene", "clothes", "mood"}))

    def summary(self, persona: Persona, setting: SceneSetting) -> str:
        """Say in a line for people what the picture shows."""
        found = setting.found
        signs = [
            getattr(self.known, category)[found[category]].sign
            for category in _SIGNS
            if found.get(category) in getattr(self.known, category)
        ]
        return f"{persona.display_name}: {', '.join(signs) or self.known.otherwise.sign}"

    def camera(self, brief: Brief) -> str:
        """Give the framing of a variation."""
        return self.scene(brief, self.sketch(brief)).camera

    def _read(self, brief: Brief) -> SceneSetting:
        setting = self.reader.setting([brief.own_words] if brief.own_words else brief.said)
        if brief.kind.has_dialog or setting.time is not None:
            return setting
        time = _TIMES_OF_COVERS[brief.variation % len(_TIMES_OF_COVERS)]
        return setting.model_copy(update={"time": time})

    def _alone(self, sketch: SceneSketch, *, is_alone: bool) -> SceneSketch:
        if not is_alone or sketch.is_alone:
            return sketch
        # What was said of others may be in every other word, and in a model's phrases.
        return sketch.model_copy(
            update={"setting": sketch.setting.sky, "is_alone": True, "scene": None}
        )


@functools.cache
def shipped_template() -> Template:
    """Give the template builder with the vocabulary that travels in the package."""
    return Template(known=shipped_vocabulary(), reader=shipped_reader())


def _shuffle(brief: Brief) -> int:
    """Let talks that name nothing look different all the same; nothing can be read back from it."""
    number = "" if brief.kind.has_dialog else str(brief.variation)
    said = "\0".join([brief.persona.name, number, brief.own_words or "", *brief.said[:2]])
    digest = hashlib.sha256(said.encode(errors="replace")).digest()
    return int.from_bytes(digest[:2], "big")
