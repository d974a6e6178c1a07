"""Writes a prompt from the bot's own prompt, a language model's scene or the template."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from chatflow_hook.turn import Rating
from imagegen.prompts.brief import Brief
from imagegen.prompts.llm_answers import MINOR, NoScene
from imagegen.prompts.scene import (
    MAX_WORDS,
    DiscardedScene,
    PromptSource,
    Scene,
    WrittenPrompt,
    join_sentences,
    join_tags,
    one_line,
    with_full_stop,
    write_prompt,
)
from imagegen.prompts.template import shipped_template
from imagegen.safety.clothing import is_bare
from imagegen.safety.known_words import is_readable
from imagegen.workflows.persona import Persona, PromptStyle

if TYPE_CHECKING:
    from imagegen.prompts.llm import LanguageModel

log = structlog.get_logger(__name__)

# Words are counted by spaces, so a text without spaces needs a limit of its own.
MAX_SCENE_CHARACTERS = 2400
# The `why` of a NoScene: the screen does not allow the prompt.
SCREENED = "screened"
# A text has words that the screen cannot read, so the template's picture is safe.
_UNREAD = "unread"
QUIET_SCENE = "a calm everyday moment at home"


class PromptBuilder:
    """Writes prompts, with the template wherever nothing else may be used.

    `model` is opened and closed by the caller; None means that there is no language model.
    `is_fine` is called with a prompt that was written from a model's scene, and returns whether the
    screen allows it. `fallbacks` counts why the template was used instead: the `why` of a NoScene,
    where `bare` is a scene with less clothing than the rating allows, `unread` a text with words that
    the screen cannot read, and `screened` a prompt that `is_fine` did not allow. After `unread`, and
    after `minor`, where the model says that a minor is meant, the picture is safe and shows the
    persona alone.
    """

    def __init__(self, model: "LanguageModel | None", *, is_fine: Callable[[str], bool]) -> None:
        self._model = model
        self._is_fine = is_fine
        self._template = shipped_template()
        self.fallbacks: Counter[str] = Counter()

    async def build(self, brief: Brief) -> WrittenPrompt:
        """Write the prompt of a brief; never fails, since the template is used instead."""
        try:
            if brief.own_prompt is not None:
                return self._from_own_prompt(brief, brief.own_prompt)
            if self._model is not None and _may_ask_model(brief):
                return self._from_model_scene(brief, await self._model.scene(brief))
        except NoScene as error:
            log.warning(
                "prompt from template",
                why=error.why,
                detail=error.detail,
                persona=brief.persona.name,
            )
            self.fallbacks[error.why] += 1
            if error.why in {MINOR, _UNREAD}:
                brief = replace(brief, rating=Rating.SAFE, is_alone=True)
            if error.text is not None:
                discarded = DiscardedScene(text=error.text, why=error.why)
                return replace(self._template.write(brief), discarded=discarded)
        return self._template.write(brief)

    def _from_own_prompt(self, brief: Brief, own_prompt: str) -> WrittenPrompt:
        self._check(brief, own_prompt)
        stored_scene = self._template.stored_scene(brief)
        camera = self._template.camera(brief) if brief.variation else None
        return WrittenPrompt(
            text=write_own_prompt(brief.persona, own_prompt, camera=camera),
            rating=brief.rating,
            summary=self._template.summary(brief.persona, stored_scene.setting),
            source=PromptSource.OWN,
            scene=stored_scene.to_json(),
        )

    def _from_model_scene(self, brief: Brief, scene: Scene) -> WrittenPrompt:
        persona = brief.persona
        phrases = " . ".join(scene.model_dump().values())
        self._check(brief, phrases)
        text = write_prompt(persona, scene, wording=persona.wording_for(brief.rating))
        if not self._is_fine(text):
            raise NoScene(SCREENED, text=text)

        # The setting is read from the model's phrases, not from the conversation, which may be
        # about something else.
        setting = self._template.reader.setting([phrases])
        stored_scene = self._template.stored_scene(brief).model_copy(
            update={"setting": setting, "scene": scene}
        )
        return WrittenPrompt(
            text=text,
            rating=brief.rating,
            summary=self._template.summary(persona, setting),
            source=PromptSource.LLM,
            scene=stored_scene.to_json(),
        )

    def _check(self, brief: Brief, text: str) -> None:
        persona = brief.persona
        if not is_readable(text, besides=(persona.display_name, *persona.trigger_words)):
            raise NoScene(_UNREAD, text=text)
        rating = persona.wording_rating(brief.rating)
        if rating is not Rating.EXPLICIT and is_bare(text, is_safe=rating is Rating.SAFE):
            raise NoScene("bare", text=text)


def write_own_prompt(persona: Persona, words: str, *, camera: str | None = None) -> str:
    """Write a prompt for a scene that the bot describes in its own words.

    It has at most 380 words, and with the persona's style tags at most 75 tokens of CLIP.

    A scene that is too long is cut; an empty one becomes a calm moment at home. `camera` completes
    "The picture is …".
    """
    scene = one_line(words)[:MAX_SCENE_CHARACTERS].strip() or QUIET_SCENE
    if persona.prompt_style is PromptStyle.TAGS:
        return join_tags(persona, scene, camera)
    camera_sentence = f"The picture is {camera}." if camera else None
    room = MAX_WORDS - len(join_sentences(persona, camera_sentence).split())
    scene_sentence = with_full_stop(" ".join(f"The scene: {scene}".split()[:room]))
    return join_sentences(persona, scene_sentence, camera_sentence)


def from_template(brief: Brief) -> WrittenPrompt:
    """Write the prompt of a brief without a language model: the same for the same brief."""
    return shipped_template().write(brief)


def _may_ask_model(brief: Brief) -> bool:
    """Whether there is a conversation that a model may read, and no scene yet."""
    return bool(brief.texts) and not brief.is_alone and brief.scene is None
