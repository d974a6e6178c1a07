"""The language model: whether it describes a scene in the form that prompts are made of."""

import asyncio
from collections.abc import Awaitable, Callable

from chatflow_hook.settings import BadSetting
from chatflow_hook.turn import Conversation
from imagegen.bootstrap import language_model
from imagegen.doctor.finding import Findings, green, yellow
from imagegen.prompts.brief import Brief
from imagegen.prompts.llm_answers import NoScene
from imagegen.settings import PictureSettings
from imagegen.workflows.library import Library

_TEXT = "We are walking along the river, and it has begun to rain."
_TEMPLATE = "the template writes the prompts meanwhile"
_ADVICE = {
    "timeout": "look at the server's load, or raise PROMPT_LLM_TIMEOUT",
    "unreachable": "start it, or correct PROMPT_LLM_URL",
    "http_401": "correct PROMPT_LLM_API_KEY",
    "http_403": "correct PROMPT_LLM_API_KEY",
    "http_404": "correct PROMPT_LLM_URL or PROMPT_LLM_MODEL",
    "nonsense": "use a model that follows instructions and answers in JSON, see docs/prompts.md",
    "refused": "use a model that describes harmless scenes",
    "minor": "use another model: it takes adults for minors",
}


async def check(
    settings: PictureSettings,
    library: Callable[[], Awaitable[Library]],
    *,
    timeout_s: float,
) -> Findings:
    """Yield whether the model writes a scene for a short conversation; without one nothing is asked."""
    if settings.prompt_llm_url is None:
        yield green("PROMPT_LLM_URL is not set: the template writes the prompts")
        return
    asked_until = asyncio.get_running_loop().time() + timeout_s
    model = language_model(settings)
    try:
        workflows = (await library()).workflows
    except BadSetting:
        workflows = {}
    persona = next((each.persona for each in workflows.values()), None)
    if model is None or persona is None:
        yield yellow("it was not asked, since no persona loads", "see the personas")
        return
    async with model:
        try:
            # The personas may have taken a part of the time.
            async with asyncio.timeout_at(asked_until):
                await model.scene(Brief(persona=persona, talk=Conversation(text=_TEXT)))
        except TimeoutError:
            yield yellow(
                f"{model.server} describes no scene within {timeout_s:g} s; {_TEMPLATE}",
                _ADVICE["timeout"],
            )
        except NoScene as error:
            what = error.detail or f"gives no usable scene: {error.why}"
            if model.server not in what:
                what = f"{model.server}: {what}"
            yield yellow(f"{what}; {_TEMPLATE}", _ADVICE.get(error.why, "look at the server's log"))
        else:
            yield green(
                f"{model.server} describes scenes with the model {settings.prompt_llm_model}"
            )
