"""The shapes in which servers and models answer: each is read, or named."""

import json
from typing import Any

import httpx
import pytest
import respx
from structlog.testing import capture_logs

from imagegen.prompts.llm import LanguageModel
from imagegen.prompts.llm_answers import MINOR, NoScene, read_scene
from imagegen.prompts.scene import Scene
from tests.support.briefs import brief
from tests.support.llm_answers import SCENE, completion, without

TEXT = json.dumps(SCENE)
ANY_SCENE = Scene.model_validate(SCENE)


def body(content: Any, **more: Any) -> bytes:
    return json.dumps(completion(content, **more)).encode()


def message(**fields: Any) -> bytes:
    return body("", message={"content": None, **fields})


def stream(*deltas: dict[str, Any], finish: str = "stop") -> bytes:
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    chunks.append({"choices": [], "usage": {"total_tokens": 9}})
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join([": PROCESSING\n\n", *lines, "data: [DONE]\n\n"]).encode()


def why(answer: bytes) -> NoScene:
    with pytest.raises(NoScene) as caught:
        read_scene(answer)
    return caught.value


@pytest.mark.parametrize(
    ("answer", "shape"),
    [
        (body(TEXT), "plain"),
        (body(f"Here you are:\n{TEXT}"), "with text around it"),
        (body(f"{TEXT}\n\nShall I change {{anything}}?"), "with text around it"),
        (body(f"Sure!\n```json\n{TEXT}\n```\nEnjoy."), "in a code fence"),
        (body(f"<think>{{}} hm</think>{TEXT}"), "after its reasoning"),
        (body(f"The place is ...\n</think>\n{TEXT}"), "after its reasoning"),
        (body(f"[THINK]a[/THINK]{TEXT}"), "after its reasoning"),
        (
            body(
                "<|channel|>analysis<|message|>hm<|end|><|start|>assistant"
                f"<|channel|>final<|constrain|>json<|message|>{TEXT}"
            ),
            "after its reasoning",
        ),
        (body(f"[{TEXT}]"), "with text around it"),
        (message(content=[{"type": "text", "text": TEXT}]), "plain"),
        (
            message(
                content=[
                    {"type": "reasoning", "text": "{}"},
                    {"type": "text", "text": TEXT[:9]},
                    {"type": "output_text", "text": TEXT[9:]},
                ]
            ),
            "plain",
        ),
        (message(content=SCENE), "plain"),
        (
            message(tool_calls=[{"function": {"name": "scene", "arguments": TEXT}}]),
            "arguments of a tool call",
        ),
        (
            message(tool_calls=[{"function": {"name": "scene", "arguments": SCENE}}]),
            "arguments of a tool call",
        ),
        (message(function_call={"arguments": TEXT}), "arguments of a tool call"),
        (message(content="", reasoning_content=f"So: {TEXT}"), "within the reasoning"),
        (message(reasoning=TEXT), "within the reasoning"),
        (body(TEXT) + b"data: [DONE]\n", "with the mark of a stream"),
        (
            stream({"role": "assistant", "content": TEXT[:20]}, {"content": TEXT[20:]}),
            "a stream that was not asked for",
        ),
        (
            stream({"reasoning_content": "hm"}, {"content": TEXT}),
            "a stream that was not asked for",
        ),
        (json.dumps({"choices": [{"text": TEXT}]}).encode(), "plain"),
        # Cut off behind the object.
        (body(TEXT, finish_reason="length"), "plain"),
    ],
)
def test_a_scene_is_read_in_each_shape(answer: bytes, shape: str) -> None:
    found = read_scene(answer)

    assert (found.scene, found.shape) == (ANY_SCENE, shape)


def test_of_several_scenes_the_last_one_counts() -> None:
    draft = json.dumps(without(mood="dull"))

    assert read_scene(body(f"First {draft}, or better: {TEXT}")).scene == ANY_SCENE


@pytest.mark.parametrize(
    "answer",
    [
        body(f'{{"minor": true}} but then {TEXT}'),
        body(f'{TEXT} {{"minor": "maybe"}}'),
        body('{"minor": true, "minor": false}'),
        message(reasoning_content=json.dumps(SCENE | {"minor": True})),
        message(tool_calls=[{"function": {"arguments": SCENE | {"minor": 1}}}]),
        stream({"content": '{"mi'}, {"content": 'nor": true}'}),
    ],
)
def test_a_minor_in_any_object_of_an_answer_counts(answer: bytes) -> None:
    assert why(answer).why == MINOR


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (message(refusal="SECRET"), "refused"),
        (message(content=[{"type": "refusal", "refusal": "SECRET"}]), "refused"),
        (body("I'm sorry, but SECRET"), "refused"),
        (body("I cannot help with SECRET."), "refused"),
        (body("Я не могу этого сделать, SECRET"), "refused"),
        (body(TEXT, finish_reason="SAFETY"), "refused"),
        (body(TEXT, finish_reason="prohibited_content"), "refused"),
        (body(TEXT[:-20], finish_reason="length"), "truncated"),
        (message(content="", reasoning_content="hm"), "empty"),
        (
            body("", message={"reasoning_content": "hm"}, finish_reason="length"),
            "truncated",
        ),
        (stream({"content": TEXT[:30]}, finish="length"), "truncated"),
        (body(TEXT, finish_reason="error"), "server_error"),
        (body(TEXT[:9], finish_reason="network_error"), "server_error"),
        (json.dumps({"error": {"message": "SECRET", "code": 429}}).encode(), "http_429"),
        (json.dumps({"error": {"message": "SECRET", "code": "503"}}).encode(), "http_503"),
        (json.dumps({"error": {"message": "SECRET", "code": "SECRET"}}).encode(), "server_error"),
        (json.dumps({"error": "SECRET (POST /chat/completions)"}).encode(), "server_error"),
        (
            json.dumps({"choices": [{"message": {}, "error": {"code": 502}}]}).encode(),
            "http_502",
        ),
        (b'data: {"error": {"message": "SECRET", "code": 500}}\n\n', "http_500"),
        (json.dumps({"detail": "SECRET"}).encode(), "server_error"),
        (json.dumps({"choices": []}).encode(), "empty"),
        (json.dumps({"choices": [{"message": None}]}).encode(), "empty"),
        (message(content="  "), "empty"),
        (body("<think> SECRET and on and on"), "empty"),
        (b"<!DOCTYPE html><html>SECRET</html>", "not_an_api"),
        (b"SECRET", "nonsense"),
        (body("SECRET"), "nonsense"),
        (body(TEXT[:-20]), "nonsense"),
        (body(json.dumps(SCENE | {"orders": "SECRET"})), "nonsense"),
        (body("{" * 100_000), "nonsense"),
        (body('{"a":' * 100_000), "nonsense"),
    ],
)
def test_what_is_no_scene_has_a_name_and_quotes_nothing(answer: bytes, code: str) -> None:
    error = why(answer)

    assert error.why == code
    assert "SECRET" not in f"{error} {error.detail}"


@pytest.mark.parametrize("code", ["server_error", "empty", "http_429", "http_502"])
def test_what_may_pass_is_asked_again(code: str) -> None:
    assert NoScene(code).may_pass


@pytest.mark.parametrize("code", ["truncated", "refused", "not_an_api", "nonsense", "too_long"])
def test_what_would_be_the_same_again_is_not(code: str) -> None:
    assert not NoScene(code).may_pass


async def test_an_unusual_shape_is_logged_without_its_words(respx_mock: respx.Router) -> None:
    url = "http://model.test/v1/chat/completions"
    respx_mock.post(url).mock(return_value=httpx.Response(200, content=body(f"Here: {TEXT}")))

    with capture_logs() as logs:
        async with LanguageModel(url=url, model="small") as model:
            await model.scene(brief("We dance."))

    assert logs == [{"event": "scene read", "shape": "with text around it", "log_level": "info"}]
