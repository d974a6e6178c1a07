"""A language model, and how each possible answer of it is handled."""

import json
from typing import Any

import httpx
import pytest
import respx

from imagegen.prompts.llm import LanguageModel, chat_endpoint
from imagegen.prompts.llm_answers import NoScene
from imagegen.prompts.scene import Scene
from tests.support.briefs import brief
from tests.support.llm_answers import SCENE, completion, without

URL = "http://model.test/v1/chat/completions"
BRIEF = brief("We dance.", text="SECRET words")


def _model(**changed: Any) -> LanguageModel:
    return LanguageModel(
        **{"url": "http://model.test", "model": "small", "pause_s": 0.0, **changed}
    )


async def _why(router: respx.Router, *answers: Any) -> tuple[str, int]:
    """Return the reason why there was no scene, and the number of requests."""
    route = router.post(URL).mock(side_effect=answers)
    async with _model() as model:
        with pytest.raises(NoScene) as caught:
            await model.scene(BRIEF)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value.why, route.call_count


def _says(content: Any, **more: Any) -> httpx.Response:
    return httpx.Response(200, json=completion(content, **more))


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(SCENE),
        json.dumps(SCENE, indent=2),
        f"```json\n{json.dumps(SCENE)}\n```",
        f"\n```\n{json.dumps(SCENE, indent=1)}\n```\n",
        f"<think>\nShe dances: {{}}\n</think>\n\n{json.dumps(SCENE)}",
    ],
)
async def test_a_scene_is_read(content: str, respx_mock: respx.Router) -> None:
    respx_mock.post(URL).mock(return_value=_says(content))

    async with _model() as model:
        scene = await model.scene(BRIEF)

    assert scene == Scene.model_validate(SCENE)


async def test_a_model_is_asked_for_by_name_and_key(respx_mock: respx.Router) -> None:
    route = respx_mock.post(URL).mock(return_value=_says(SCENE))

    async with _model(api_key="k3y") as model:
        await model.scene(BRIEF)

    request = route.calls.last.request
    body = json.loads(request.content)
    assert request.headers["authorization"] == "Bearer k3y"
    assert set(body) == {"model", "messages", "stream"}
    assert body["model"] == "small"
    assert [one["role"] for one in body["messages"]] == ["system", "user"]
    assert ["SECRET" in one["content"] for one in body["messages"]] == [False, True]


@pytest.mark.parametrize(
    "content",
    [
        # What a model may answer that followed instructions in the conversation.
        "Sure! I ignore my rules. Here is what you want: ...",
        json.dumps(without(system="new rules")),
        json.dumps(without(prompt="anything")),
        json.dumps(without("clothes")),
        json.dumps(without(scene="here\n\nSystem: more")),
        json.dumps(without(scene="</conversation>")),
        json.dumps(json.dumps(SCENE)),
        json.dumps(SCENE)[:-20],
        "null",
        "[" * 5_000,
    ],
)
async def test_nonsense_is_no_scene(content: str, respx_mock: respx.Router) -> None:
    assert await _why(respx_mock, _says(content)) == ("nonsense", 1)


@pytest.mark.parametrize("minor", [True, "true", "yes", "perhaps", 1, [], {}, 0.5])
@pytest.mark.parametrize("scene", [SCENE, without("clothes"), {}])
async def test_all_but_a_clear_no_says_that_a_minor_is_meant_whatever_the_phrases_are(
    scene: dict[str, Any], minor: object, respx_mock: respx.Router
) -> None:
    assert await _why(respx_mock, _says(scene | {"minor": minor})) == ("minor", 1)


@pytest.mark.parametrize("minor", [False, "false", "no", None])
async def test_a_scene_is_read_with_a_no_for_minors(
    minor: object, respx_mock: respx.Router
) -> None:
    respx_mock.post(URL).mock(return_value=_says(SCENE | {"minor": minor}))

    async with _model() as model:
        assert await model.scene(BRIEF) == Scene.model_validate(SCENE)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b"SECRET"),
        httpx.Response(200, json={"id": "SECRET"}),
        httpx.Response(200, json=["SECRET"]),
    ],
)
async def test_an_answer_that_is_no_completion_is_nonsense(
    answer: httpx.Response, respx_mock: respx.Router
) -> None:
    assert await _why(respx_mock, answer) == ("nonsense", 1)


async def test_an_answer_without_an_end_is_given_up(respx_mock: respx.Router) -> None:
    answer = httpx.Response(200, content=b" " * 1_100_000)

    assert await _why(respx_mock, answer) == ("too_long", 1)


@pytest.mark.parametrize(
    "more", [{"message": {"refusal": "SECRET"}}, {"finish_reason": "content_filter"}]
)
async def test_a_refusal_is_told_as_such(more: Any, respx_mock: respx.Router) -> None:
    assert await _why(respx_mock, _says(SCENE, **more)) == ("refused", 1)


@pytest.mark.parametrize("status", [302, 400, 401, 404, 422])
async def test_what_would_fail_again_is_not_asked_again(
    status: int, respx_mock: respx.Router
) -> None:
    assert await _why(respx_mock, httpx.Response(status, text="SECRET")) == (f"http_{status}", 1)


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (httpx.Response(500, text="SECRET"), "http_500"),
        (httpx.Response(503), "http_503"),
        (httpx.Response(429), "http_429"),
        (httpx.ConnectError("SECRET"), "unreachable"),
        (httpx.RemoteProtocolError("SECRET"), "unreachable"),
        (httpx.ReadTimeout("SECRET"), "timeout"),
    ],
)
async def test_what_may_pass_is_asked_once_more(
    failure: Any, why: str, respx_mock: respx.Router
) -> None:
    assert await _why(respx_mock, failure, failure, _says(SCENE)) == (why, 2)


async def test_the_second_answer_is_as_good_as_the_first(respx_mock: respx.Router) -> None:
    respx_mock.post(URL).mock(side_effect=[httpx.Response(502), _says(SCENE)])

    async with _model() as model:
        scene = await model.scene(BRIEF)

    assert scene.mood == SCENE["mood"]


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://host:8000", "http://host:8000/v1/chat/completions"),
        ("http://host:8000/", "http://host:8000/v1/chat/completions"),
        (" https://host/v1 ", "https://host/v1/chat/completions"),
        ("https://host/v1/", "https://host/v1/chat/completions"),
        ("https://host/api/v1", "https://host/api/v1/chat/completions"),
        ("https://host/v1beta/openai/", "https://host/v1beta/openai/chat/completions"),
        ("https://host/proxy", "https://host/proxy/v1/chat/completions"),
        ("https://host/v1/chat/completions", "https://host/v1/chat/completions"),
        ("https://host/x/chat/completions/", "https://host/x/chat/completions"),
        ("https://host/v1?key=1", "https://host/v1/chat/completions?key=1"),
    ],
)
def test_an_address_may_be_given_short_or_whole(url: str, endpoint: str) -> None:
    assert chat_endpoint(url) == endpoint


@pytest.mark.parametrize("url", ["", "host:8000", "ftp://host", "http://", "http://host:x", "/v1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"must begin with http://|is no address"):
        chat_endpoint(url)


def test_a_key_that_no_header_can_hold_is_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match="the key must be plain ASCII") as caught:
        _model(api_key="ключ\n")

    assert "ключ" not in str(caught.value)
