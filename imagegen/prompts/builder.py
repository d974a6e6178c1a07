"""PromptBuilder: the bot's own prompt, a model's scene, or the template's."""

from collections import Counter
from collections.abc import Callable

import structlog

from chatflow_hook.turn import Rating
from imagegen.prompts.brief import Brief
from imagegen.prompts.llm import LanguageModel, NoScene
from imagegen.prompts.scene import (
    MAX_WORDS,
    Prompt,
    PromptSource,
    Scene,
    ended,
    join_sentences,
    one_line,
    write_prompt,
)
from imagegen.prompts.template import shipped_template
from imagegen.workflows.persona import Persona

# A text without spaces is one word however long it is.
MAX_SCENE_CHARACTERS = 2400
QUIET_SCENE = "a calm everyday moment at home"


def write_own_prompt(persona: Persona, words: str, *, camera: str | None = None) -> str:
    """Write a prompt of at most 380 words for a scene told in somebody's words."""
    told = one_line(words)[:MAX_SCENE_CHARACTERS].strip() or QUIET_SCENE
    seen = f"The picture is {camera}." if camera else None
    room = MAX_WORDS - len(join_sentences(persona, seen).split())
    scene = ended(" ".join(f"The scene: {told}".split()[:room]))
    return join_sentences(persona, scene, seen)


log = structlog.get_logger(__name__)


class PromptBuilder:
    """Writes prompts; the model is the caller's to open and close, None is none.

    `is_fine` is the screen's word on a prompt, and only the model's is asked about. `fallbacks`
    counts why the template wrote in another's place: a reason of `NoScene`, `bare` or `screened`.
    """

    def __init__(self, model: LanguageModel | None, *, is_fine: Callable[[str], bool]) -> None:
        self._model = model
        self._is_fine = is_fine
        self._template = shipped_template()
        self.fallbacks: Counter[str] = Counter()

    async def build(self, brief: Brief) -> Prompt:
        """Write the prompt of a brief; never fails."""
        try:
            if brief.own_words is not None:
                return self._own(brief, brief.own_words)
            if self._model is not None and _is_worth_asking(brief):
                return self._worded(brief, await self._model.scene(brief))
        except NoScene as error:
            log.warning("prompt from template", why=error.why, persona=brief.persona.name)
            self.fallbacks[error.why] += 1
        return self._template.write(brief)

    def _own(self, brief: Brief, words: str) -> Prompt:
        self._stop_if_bare(brief, words)
        sketch = self._template.sketch(brief)
        camera = self._template.camera(brief) if brief.variation else None
        return Prompt(
            text=write_own_prompt(brief.persona, words, camera=camera),
            summary=self._template.summary(brief.persona, sketch.setting),
            source=PromptSource.OWN,
            scene=sketch.stored(),
        )

    def _worded(self, brief: Brief, worded: Scene) -> Prompt:
        persona = brief.persona
        phrases = " . ".join(worded.model_dump().values())
        self._stop_if_bare(brief, phrases)
        text = write_prompt(persona, worded, wording=persona.words_for(brief.rating))
        if not self._is_fine(text):
            raise NoScene("screened")
        # What the model's own phrases tell, not what was said: that may be of anything.
        setting = self._template.reader.setting([phrases])
        sketch = self._template.sketch(brief).model_copy(
            update={"setting": setting, "scene": worded}
        )
        return Prompt(
            text=text,
            summary=self._template.summary(persona, setting),
            source=PromptSource.LLM,
            scene=sketch.stored(),
        )

    def _stop_if_bare(self, brief: Brief, words: str) -> None:
        level, reader = brief.persona.level(brief.rating), self._template.reader
        if level is not Rating.EXPLICIT and reader.is_bare(words, is_safe=level is Rating.SAFE):
            raise NoScene("bare")


def from_template(brief: Brief) -> Prompt:
    """Write the prompt of a brief without any model: the same for the same brief."""
    return shipped_template().write(brief)


def _is_worth_asking(brief: Brief) -> bool:
    """Whether there is a talk that a model may read, and a scene to read out of it."""
    return bool(brief.said) and not brief.is_alone and brief.scene is None
