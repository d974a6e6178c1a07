"""Writes prompts from the vocabulary and the persona's habits, without a language model."""

import functools
import hashlib
from dataclasses import dataclass

from imagegen.prompts.brief import Brief
from imagegen.prompts.conversation_reader import ConversationReader, shipped_reader
from imagegen.prompts.scene import (
    Category,
    PromptSource,
    Scene,
    SceneSetting,
    StoredScene,
    WrittenPrompt,
    write_prompt,
)
from imagegen.prompts.template_phrases import TemplatePhrases
from imagegen.prompts.vocabulary import Vocabulary, shipped_vocabulary
from imagegen.workflows.persona import Persona

# The times of day of a persona's covers, in turn, so that successive covers differ.
_TIMES_OF_COVERS = ("morning", "sunset", "day", "evening")
# The order of a summary.
_SUMMARY: tuple[Category, ...] = ("activity", "place", "season", "weather", "time", "clothes")


@dataclass(frozen=True, kw_only=True)
class Template:
    """Writes the same prompt for the same brief, on every machine and in every process."""

    vocabulary: Vocabulary
    reader: ConversationReader

    def write(self, brief: Brief) -> WrittenPrompt:
        """Write a prompt in which no word of the conversation appears.

        All phrases are of the vocabulary and the persona, or of the stored scene of a model.
        """
        stored_scene = self.stored_scene(brief)
        scene = self.scene(brief, stored_scene)
        return WrittenPrompt(
            text=write_prompt(
                brief.persona,
                scene,
                wording=brief.persona.wording_for(brief.rating),
                is_alone=stored_scene.is_alone,
            ),
            rating=brief.rating,
            summary=self.summary(brief.persona, stored_scene.setting),
            source=PromptSource.LLM if scene is stored_scene.scene else PromptSource.TEMPLATE,
            scene=stored_scene.to_json(),
        )

    def stored_scene(self, brief: Brief) -> StoredScene:
        """Return the stored scene of a brief: its own, else one read from the conversation."""
        if brief.scene is not None:
            return self._restrict_if_alone(StoredScene.from_json(brief.scene), brief)
        stored_scene = StoredScene(
            setting=self._read_setting(brief),
            shuffle=_shuffle(brief),
            rating=brief.rating,
            variation=brief.variation,
        )
        return self._restrict_if_alone(stored_scene, brief)

    def scene(self, brief: Brief, stored_scene: StoredScene) -> Scene:
        """Return the phrases of a stored scene, for the brief's persona, rating and variation.

        A model's phrases are used if they were written for the same rating. For another variation,
        pose, light and framing are the template's.
        """
        model_scene = stored_scene.scene if stored_scene.rating is brief.rating else None
        if model_scene is not None and stored_scene.variation == brief.variation:
            return model_scene
        scene = TemplatePhrases(
            vocabulary=self.vocabulary, brief=brief, stored_scene=stored_scene
        ).scene
        if model_scene is None:
            return scene
        return scene.model_copy(update=model_scene.model_dump(include={"scene", "clothes", "mood"}))

    def summary(self, persona: Persona, setting: SceneSetting) -> str:
        """Return one line for people that says what the picture shows."""
        found = setting.found
        signs = [
            getattr(self.vocabulary, category)[found[category]].label
            for category in _SUMMARY
            if found.get(category) in getattr(self.vocabulary, category)
        ]
        return f"{persona.display_name}: {', '.join(signs) or self.vocabulary.otherwise.label}"

    def camera(self, brief: Brief) -> str:
        """Return the framing of a brief's picture, which completes "The picture is …"."""
        return self.scene(brief, self.stored_scene(brief)).camera

    def _read_setting(self, brief: Brief) -> SceneSetting:
        setting = self.reader.setting([brief.own_prompt] if brief.own_prompt else brief.texts)
        if brief.kind.has_dialog or setting.time is not None:
            return setting
        time = _TIMES_OF_COVERS[brief.variation % len(_TIMES_OF_COVERS)]
        return setting.model_copy(update={"time": time})

    def _restrict_if_alone(self, stored_scene: StoredScene, brief: Brief) -> StoredScene:
        if not brief.is_alone or stored_scene.is_alone:
            return stored_scene
        # All other keys, and a model's phrases, may come from what was said about other people.
        return stored_scene.model_copy(
            update={"setting": stored_scene.setting.sky, "is_alone": True, "scene": None}
        )


@functools.cache
def shipped_template() -> Template:
    """Return the template of the vocabulary in the package; built once, in about half a second."""
    return Template(vocabulary=shipped_vocabulary(), reader=shipped_reader())


def _shuffle(brief: Brief) -> int:
    """Return a number from 0 to 65,535 that differs between conversations.

    With it, conversations in which nothing is found are drawn differently too. Their text cannot be
    recovered from the number.
    """
    number = "" if brief.kind.has_dialog else str(brief.variation)
    text = "\0".join([brief.persona.name, number, brief.own_prompt or "", *brief.texts[:2]])
    digest = hashlib.sha256(text.encode(errors="replace")).digest()
    return int.from_bytes(digest[:2], "big")
