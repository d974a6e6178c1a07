"""Which of the bot's prompt, the model's scene and the template is used for a prompt."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import respx
import structlog
from structlog.testing import LogCapture

from chatflow_hook.tables import Kind
from chatflow_hook.turn import Rating
from imagegen.prompts.brief import Brief
from imagegen.prompts.builder import PromptBuilder, write_own_prompt
from imagegen.prompts.llm import LanguageModel
from imagegen.prompts.scene import PromptSource, WrittenPrompt
from imagegen.prompts.template import shipped_template
from tests.support.briefs import NORA, brief, worded
from tests.support.llm_answers import SCENE, completion, without

TEMPLATE = shipped_template()
URL = "http://model.test/v1/chat/completions"
SAID = brief("I read in the café, it rains.", text="SECRET words")


class RecordedBuilder:
    """A prompt builder; records which prompts were screened, and refuses those with a word."""

    def __init__(self, model: LanguageModel | None) -> None:
        self.screened: list[str] = []
        self.refused = "never"
        self.builder = PromptBuilder(model, is_fine=self._screen)

    @property
    def fallbacks(self) -> list[str]:
        return list(self.builder.fallbacks.elements())

    def _screen(self, text: str) -> bool:
        self.screened.append(text)
        return self.refused not in text

    async def build(self, given: Brief) -> WrittenPrompt:
        return await self.builder.build(given)


@pytest.fixture
async def recorder() -> AsyncIterator[RecordedBuilder]:
    async with LanguageModel(url=URL, model="small", pause_s=0) as model:
        yield RecordedBuilder(model)


@pytest.fixture
def logged() -> Iterator[LogCapture]:
    was, capture = structlog.get_config(), LogCapture()
    structlog.configure(processors=[capture])
    yield capture
    structlog.configure(**was)


@pytest.fixture
def route(respx_mock: respx.MockRouter) -> respx.Route:
    return respx_mock.post(URL)


def _says(content: Any) -> httpx.Response:
    return httpx.Response(200, json=completion(content))


async def test_a_models_scene_becomes_the_prompt(
    recorder: RecordedBuilder, route: respx.Route
) -> None:
    route.mock(return_value=_says(without(scene="in a café at the window, with rain outside")))

    prompt = await recorder.build(SAID)

    assert prompt.source is PromptSource.LLM
    assert " Nora is in a café at the window, with rain outside. " in prompt.text
    assert prompt.text.startswith("A picture of norazt, Nora, a fictional adult aged 30. ")
    assert prompt.text.endswith(" A bright photograph.")
    assert prompt.summary == "Nora: café, rain, a coat"
    assert recorder.screened == [prompt.text]
    assert recorder.fallbacks == []


async def test_a_models_scene_is_kept_for_variations(
    recorder: RecordedBuilder, route: respx.Route
) -> None:
    route.mock(return_value=_says(SCENE))
    first = await recorder.build(SAID)

    second = await recorder.build(
        brief(scene=json.loads(json.dumps(first.scene)), variation=1, kind=Kind.VARIATION)
    )

    assert second.source is PromptSource.TEMPLATE
    assert f" Nora is {SCENE['scene']}. Nora wears {SCENE['clothes']}. " in second.text
    assert SCENE["pose"] not in second.text
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("answer", "why", "detail"),
    [
        (httpx.Response(401), "http_401", "http://model.test answers 401"),
        (httpx.Response(500), "http_500", "http://model.test answers 500"),
        (httpx.ReadTimeout("slow"), "timeout", "http://model.test does not answer in time"),
        (httpx.ConnectError("away"), "unreachable", "http://model.test failed: ConnectError"),
        (_says("I obey SECRET words"), "nonsense", "no JSON object with the six phrases"),
        (_says(without(orders="SECRET words")), "nonsense", "no JSON object with the six phrases"),
        (_says(without(clothes="nothing at all")), "bare", None),
        (_says(without(clothes="lingerie")), "bare", None),
        (_says(without(pose="posing naked")), "bare", None),
    ],
)
async def test_the_template_writes_what_a_model_does_not(
    answer: Any,
    why: str,
    *,
    detail: str | None,
    recorder: RecordedBuilder,
    route: respx.Route,
    logged: LogCapture,
) -> None:
    route.mock(side_effect=[answer, answer])

    prompt = await recorder.build(SAID)

    assert prompt == TEMPLATE.write(SAID)
    assert recorder.fallbacks == [why]
    assert logged.entries == [
        {
            "event": "prompt from template",
            "why": why,
            "detail": detail,
            "persona": "nora",
            "log_level": "warning",
        }
    ]


async def test_the_template_writes_what_the_screen_refuses(
    recorder: RecordedBuilder, route: respx.Route
) -> None:
    route.mock(return_value=_says(SCENE))
    recorder.refused = SCENE["scene"]

    prompt = await recorder.build(SAID)

    assert prompt.source is PromptSource.TEMPLATE
    assert recorder.fallbacks == ["screened"]


async def test_above_safe_a_model_may_go_further_and_not_to_nudity(
    recorder: RecordedBuilder, route: respx.Route
) -> None:
    said = brief("hello", rating=Rating.SUGGESTIVE)
    route.mock(side_effect=[_says(without(clothes=one)) for one in ("a corset top", "topless")])

    sources = [(await recorder.build(said)).source for _ in range(2)]

    assert sources == [PromptSource.LLM, PromptSource.TEMPLATE]


async def test_explicit_without_an_operators_words_goes_no_further_than_suggestive(
    recorder: RecordedBuilder, route: respx.Route
) -> None:
    route.mock(return_value=_says(without(clothes="topless")))

    prompt = await recorder.build(brief("hello", rating=Rating.EXPLICIT))

    assert prompt.source is PromptSource.TEMPLATE
    assert recorder.fallbacks == ["bare"]


async def test_an_operators_words_stand_in_a_models_prompt_too(
    recorder: RecordedBuilder, route: respx.Route
) -> None:
    route.mock(return_value=_says(SCENE))
    persona = worded(explicit="Words of the operator.")

    prompt = await recorder.build(brief("hello", persona=persona, rating=Rating.EXPLICIT))

    assert " Words of the operator. " in prompt.text
    assert SCENE["clothes"] not in prompt.text


@pytest.mark.parametrize(
    "given",
    [
        brief("We bake with the neighbours", is_alone=True),
        brief(kind=Kind.COVER),
        brief(" ", text=" "),
    ],
)
async def test_a_model_is_not_asked_where_there_is_nothing_to_read(
    given: Brief, recorder: RecordedBuilder
) -> None:
    prompt = await recorder.build(given)

    assert prompt == TEMPLATE.write(given)
    assert recorder.fallbacks == []


async def test_without_a_model_the_template_writes() -> None:
    recorder = RecordedBuilder(None)

    assert await recorder.build(SAID) == TEMPLATE.write(SAID)
    assert recorder.fallbacks == []


async def test_the_bots_own_prompt_gets_but_identity_style_and_length(
    recorder: RecordedBuilder,
) -> None:
    prompt = await recorder.build(brief("at the gym", prompt="Nora flies over a café\nat night"))

    assert prompt.text == write_own_prompt(NORA, "Nora flies over a café at night")
    assert prompt.source is PromptSource.OWN
    assert prompt.summary == "Nora: café, night"


async def test_nothing_of_the_bots_own_words_is_kept(recorder: RecordedBuilder) -> None:
    prompt = await recorder.build(brief(prompt="SECRET in the park"))

    assert "SECRET" not in f"{prompt.summary} {prompt.scene}"


async def test_a_variation_of_the_bots_own_prompt_is_framed_anew(recorder: RecordedBuilder) -> None:
    texts = {
        (await recorder.build(brief(prompt="Nora flies", variation=number))).text
        for number in range(3)
    }

    assert len(texts) == 3
    assert all("The scene: Nora flies." in text for text in texts)


async def test_the_bots_own_prompt_is_not_drawn_where_the_persona_must_be_alone(
    recorder: RecordedBuilder,
) -> None:
    prompt = await recorder.build(brief(prompt="Nora flies", is_alone=True))

    assert "flies" not in prompt.text
    assert "Nora is the only person in the picture." in prompt.text


@pytest.mark.parametrize(
    ("words", "rating"),
    [
        ("naked at the lake", Rating.SAFE),
        ("in lingerie on the sofa", Rating.SAFE),
        ("она голая на пляже", Rating.SAFE),
        ("в нижнем белье на диване", Rating.SAFE),
        ("topless at the lake", Rating.SUGGESTIVE),
        ("обнажённая у озера", Rating.SUGGESTIVE),
        ("naked at the lake", Rating.EXPLICIT),  # of which this persona has no wording
    ],
)
async def test_the_bots_own_prompt_is_no_less_dressed_than_the_rating_allows(
    words: str, rating: Rating, recorder: RecordedBuilder, logged: LogCapture
) -> None:
    given = brief(prompt=words, rating=rating)

    prompt = await recorder.build(given)

    assert prompt == TEMPLATE.write(given)
    assert words not in prompt.text
    assert recorder.fallbacks == ["bare"]
    assert [entry["event"] for entry in logged.entries] == ["prompt from template"]


@pytest.mark.parametrize(
    ("words", "rating", "wording"),
    [
        ("in a silk robe by the lake", Rating.SAFE, {}),
        ("in lingerie on the sofa", Rating.SUGGESTIVE, {}),
        ("naked at the lake", Rating.EXPLICIT, {"explicit": "Words of the operator."}),
    ],
)
async def test_the_bots_own_prompt_goes_as_far_as_the_rating(
    words: str, rating: Rating, wording: dict[str, str], recorder: RecordedBuilder
) -> None:
    prompt = await recorder.build(brief(prompt=words, rating=rating, persona=worded(**wording)))

    assert prompt.source is PromptSource.OWN
    assert words in prompt.text


async def test_what_a_model_worded_is_worded_again_without_it(
    recorder: RecordedBuilder, route: respx.Route
) -> None:
    route.mock(return_value=_says(SCENE))
    first = await recorder.build(SAID)

    again = await recorder.build(replace(SAID, scene=json.loads(json.dumps(first.scene))))

    assert again == first
    assert route.call_count == 1


@pytest.mark.parametrize(
    "given",
    [SAID, brief(kind=Kind.COVER, variation=3), brief("hello", is_alone=True), brief(prompt="x")],
)
async def test_what_the_template_worded_is_worded_again(given: Brief) -> None:
    recorder = RecordedBuilder(None)
    first = await recorder.build(given)

    again = await recorder.build(replace(given, scene=json.loads(json.dumps(first.scene))))

    assert again == first


async def test_a_brief_and_a_prompt_show_no_text_in_their_repr(recorder: RecordedBuilder) -> None:
    given = brief("SECRET", text="SECRET", prompt="SECRET")

    prompt = await recorder.build(given)

    assert "SECRET" not in f"{given!r} {prompt!r}"


@pytest.mark.parametrize(
    "words",
    [
        "una chica joven en la playa",
        "eine junge Frau am Strand",
        "дівчина на березі моря",
        "κορίτσι στην παραλία",
        "海滩上的女人",
        "a woman with her muñeca",
        "a __colour__ dress",
        "a g1rl in the park",
    ],
)
async def test_a_prompt_of_the_bot_that_cannot_be_read_is_not_drawn_and_the_picture_is_safe(
    words: str, recorder: RecordedBuilder
) -> None:
    given = brief("at the gym", prompt=words, rating=Rating.EXPLICIT)

    prompt = await recorder.build(given)

    assert prompt == TEMPLATE.write(replace(given, rating=Rating.SAFE, is_alone=True))
    assert prompt.rating is Rating.SAFE
    assert recorder.fallbacks == ["unread"]


async def test_a_models_scene_that_cannot_be_read_is_not_drawn_and_the_picture_is_safe(
    recorder: RecordedBuilder, route: respx.Route
) -> None:
    route.mock(return_value=_says(without(scene="in un parque con una muchacha")))
    given = replace(SAID, rating=Rating.SUGGESTIVE)

    prompt = await recorder.build(given)

    assert prompt == TEMPLATE.write(replace(given, rating=Rating.SAFE, is_alone=True))
    assert recorder.fallbacks == ["unread"]


async def test_the_personas_name_and_trigger_words_can_be_read(recorder: RecordedBuilder) -> None:
    prompt = await recorder.build(brief(prompt="norazt, Nora by the sea", rating=Rating.SUGGESTIVE))

    assert (prompt.source, prompt.rating) == (PromptSource.OWN, Rating.SUGGESTIVE)


@pytest.mark.parametrize("words", ["n4ked at the lake", "nаkеd at the lake", "n u d e at the lake"])
async def test_a_disguise_hides_no_nudity_in_the_bots_own_prompt(
    words: str, recorder: RecordedBuilder
) -> None:
    prompt = await recorder.build(brief(prompt=words, rating=Rating.SUGGESTIVE))

    assert prompt.source is PromptSource.TEMPLATE
