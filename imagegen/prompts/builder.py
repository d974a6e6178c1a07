"""PromptBuilder: the bot's own prompt, a model's scene, or the template's."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from chatflow_hook.turn import Rating
from imagegen.prompts import own, scene
from imagegen.prompts.brief import Brief
from imagegen.prompts.llm import LanguageModel, NoScene
from imagegen.prompts.scene import Prompt, Scene, Source
from imagegen.prompts.template import Template

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class PromptBuilder:
    """Writes prompts; `model` is the caller's to open and close, None is none.

    `screen` says whether a model's prompt may be drawn. `on_fallback` hears why the template wrote
    in a model's place: a reason of `NoScene`, `bare`, or `screened`.
    """

    template: Template
    model: LanguageModel | None
    screen: Callable[[str], bool]
    on_fallback: Callable[[str], None]

    async def build(self, brief: Brief) -> Prompt:
        """Write the prompt of a brief; never fails."""
        if brief.own_words is not None:
            return self._own(brief, brief.own_words)
        if self.model is None or not _is_worth_asking(brief):
            return self.template.write(brief)
        try:
            return self._worded(brief, await self.model.scene(brief))
        except NoScene as error:
            log.warning("prompt from template", why=error.why, persona=brief.persona.name)
            self.on_fallback(error.why)
        return self.template.write(brief)

    def _own(self, brief: Brief, words: str) -> Prompt:
        sketch = self.template.sketch(brief)
        camera = self.template.camera(brief) if brief.variation else None
        return Prompt(
            text=own.write(brief.persona, words, camera=camera, is_alone=brief.is_alone),
            summary=self.template.summary(brief.persona, sketch.setting),
            source=Source.OWN,
            scene=sketch.kept(),
        )

    def _worded(self, brief: Brief, worded: Scene) -> Prompt:
        persona = brief.persona
        phrases = " . ".join(worded.model_dump().values())
        reader = self.template.reader
        level = persona.level(brief.rating)
        if level is not Rating.EXPLICIT and reader.is_bare(phrases, is_safe=level is Rating.SAFE):
            raise NoScene("bare")
        text = scene.write(persona, worded, wording=persona.words_for(brief.rating))
        if not self.screen(text):
            raise NoScene("screened")
        # What the model's own phrases tell, not what was said: that may be of anything.
        setting = reader.setting([phrases])
        sketch = self.template.sketch(brief).model_copy(
            update={"setting": setting, "scene": worded}
        )
        return Prompt(
            text=text,
            summary=self.template.summary(persona, setting),
            source=Source.LLM,
            scene=sketch.kept(),
        )


def _is_worth_asking(brief: Brief) -> bool:
    """Whether there is a talk that a model may read, and a scene to read out of it."""
    return bool(brief.texts) and not brief.is_alone and brief.scene is None
