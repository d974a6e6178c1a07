"""The prompt builder: the bot's own words, else a language model's scene, else the template's."""

from collections.abc import Callable

import structlog

from imagegen.prompts import scene, template
from imagegen.prompts.brief import Brief
from imagegen.prompts.llm import LanguageModel, NoScene
from imagegen.prompts.scene import Prompt

log = structlog.get_logger(__name__)


class PromptBuilder:
    """Writes prompts; `is_fine` is the screen's word on one, and only the model's is asked about.

    `fallbacks` counts, by reason, how often the template stood in for the model.
    """

    def __init__(self, model: LanguageModel | None, *, is_fine: Callable[[str], bool]) -> None:
        self._model = model
        self._is_fine = is_fine
        self.fallbacks: dict[str, int] = {}

    async def build(self, brief: Brief) -> Prompt:
        """Write the prompt of a brief; never fails."""
        if brief.own_words is not None and not brief.is_alone:
            return scene.of_own_words(brief.persona, brief.own_words)
        if self._model is not None and not brief.is_alone and brief.scene is None:
            try:
                return await self._of_model(self._model, brief)
            except NoScene as error:
                self._count(error.why)
        return from_template(brief)

    async def _of_model(self, model: LanguageModel, brief: Brief) -> Prompt:
        found = await model.scene(brief)
        prompt = scene.written(brief.persona, found, rating=brief.rating, source="llm")
        if not self._is_fine(prompt.text):
            raise NoScene("refused")
        return prompt

    def _count(self, why: str) -> None:
        self.fallbacks[why] = self.fallbacks.get(why, 0) + 1
        log.warning("prompt from template", why=why, times=self.fallbacks[why])


def from_template(brief: Brief) -> Prompt:
    """Write the prompt of a brief without any model: the same for the same brief."""
    found = template.scene(brief)
    return scene.written(brief.persona, found, rating=brief.rating, source="template")
