"""Reads the scene in a language model's answer, in the shapes that servers and models give it; pure.

The shapes are those of issue threads of ollama, llama.cpp, vLLM, LM Studio, OpenRouter and litellm:
docs/prompts.md lists them.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from imagegen.errors import Unavailable
from imagegen.prompts.scene import Scene

# The `why` of a NoScene, and the key with which a model says that somebody under 18 is meant.
MINOR = "minor"
# What a model answers under that key if nobody under 18 is meant.
_NO_MINOR = (False, None, "false", "no")

# Reasons for which a second attempt may succeed, as may one after a status of 5xx.
_TEMPORARY = {"timeout", "unreachable", "http_408", "http_429", "server_error", "empty"}
# How generation ended, as providers call it.
_REFUSED = {"content_filter", "safety", "prohibited_content", "blocklist", "sensitive", "spii"}
_CUT_OFF = {"length", "max_tokens", "model_context_window_exceeded"}
_FAILED = {"error", "network_error", "insufficient_system_resource"}
# After the last of these marks the answer begins; the mark before a model's reasoning may be
# missing, since the server's template has it.
_END_OF_REASONING = re.compile(
    r"</think(?:ing)?>|</reasoning>|\[/THINK\]|<\|channel\|>final.*?<\|message\|>",
    re.IGNORECASE,
)
_REASONING_BEGINS = re.compile(
    r"\s*(?:<think(?:ing)?>|<reasoning>|\[THINK\]|<\|channel\|>analysis)", re.IGNORECASE
)
_REFUSAL = re.compile(
    r"\b(?:I can(?:['’]t|not|\s+not)|I(?:['’]m| am) (?:sorry|unable|not able)|I won['’]t"
    r"|я не могу|не могу помочь)\b",
    re.IGNORECASE,
)
_REFUSAL_WITHIN = 300
# Of so many places at which an object may begin; each is read to its end or its first fault.
_MOST_OBJECTS = 64
_HTTP_STATUS = re.compile(r"[45]\d\d")


class NoScene(Unavailable):
    """The model gave no scene that can be used; `why` is a stable code and quotes nothing.

    `detail` says more to operators: the address of the server and what happened, or the shape of
    the answer; it never quotes. `why` is one of those in docs/prompts.md; PromptBuilder sets
    `bare`, `unread` and `screened`. `text` is what was thrown away, None if there is none: for a
    hash only.
    """

    def __init__(self, why: str, *, detail: str | None = None, text: str | None = None) -> None:
        super().__init__(f"the language model gave no scene: {detail or why}")
        self.why = why
        self.detail = detail
        self.text = text

    @property
    def may_pass(self) -> bool:
        """Whether a second attempt may succeed."""
        return self.why in _TEMPORARY or self.why.startswith("http_5")


@dataclass(frozen=True, kw_only=True)
class ReadScene:
    """A scene, and in what shape it was given: `plain`, or why it needed more than reading."""

    scene: Scene
    shape: str = "plain"


@dataclass(frozen=True, kw_only=True)
class _Message:
    """What a model said: its answer, its reasoning, and how its generation ended."""

    content: str = ""
    arguments: str = ""
    reasoning: str = ""
    refusal: bool = False
    finish_reason: str = ""


def read_scene(body: bytes) -> ReadScene:
    """Read the scene in the body of an answer.

    Raises:
        NoScene: the server tells of an error, the model refused, was cut off, or says that a minor
            is meant, or the body has no scene.
    """
    message, shape = _message(body)
    if message.refusal or message.finish_reason in _REFUSED:
        raise NoScene("refused")
    if message.finish_reason in _FAILED:
        raise NoScene("server_error", detail=f"finish_reason {message.finish_reason}")
    answer = _END_OF_REASONING.split(message.content)[-1]
    for text, text_shape in (
        (answer, shape or _shape_of_text(message.content, answer)),
        (message.arguments, "arguments of a tool call"),
        # Some servers take the whole answer for reasoning.
        (message.reasoning, "within the reasoning"),
    ):
        objects = list(_objects_in(text))
        if any(each.get(MINOR) not in _NO_MINOR for each in objects):
            raise NoScene(MINOR, text=text)
        for fields in reversed(objects):
            scene = _scene_or_none(fields)
            if scene is not None:
                return ReadScene(scene=scene, shape=text_shape)
        if objects:
            break  # an answer with something else in it is not looked for elsewhere
    raise _no_scene(message)


def _no_scene(message: _Message) -> NoScene:
    if message.finish_reason in _CUT_OFF:
        return NoScene("truncated", detail=f"finish_reason {message.finish_reason}")
    if not message.content.strip() and not message.arguments:
        why = "only reasoning, no answer" if message.reasoning else "an answer without text"
        return NoScene("empty", detail=why)
    if _REASONING_BEGINS.match(message.content) and not _END_OF_REASONING.search(message.content):
        return NoScene("empty", detail="only reasoning, no answer")
    if "{" not in message.content and _REFUSAL.search(message.content[:_REFUSAL_WITHIN]):
        return NoScene("refused")
    return NoScene("nonsense", detail="no JSON object with the six phrases")


def _scene_or_none(fields: Mapping[str, Any]) -> Scene | None:
    try:
        return Scene.model_validate({k: v for k, v in fields.items() if k != MINOR})
    except ValidationError:
        return None


def _shape_of_text(content: str, answer: str) -> str:
    text = answer.strip()
    if text.startswith("{") and text.endswith("}"):
        return "plain" if len(answer) == len(content) else "after its reasoning"
    return "in a code fence" if "```" in text else "with text around it"


def _objects_in(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a text that are within no other one."""
    decoder = json.JSONDecoder(object_pairs_hook=_fields)
    at = 0
    for _ in range(_MOST_OBJECTS):
        at = text.find("{", at)
        if at < 0:
            return
        try:
            found, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
        else:
            yield found


def _fields(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of an object; of several `minor` one that is no clear "no" counts."""
    fields = dict(pairs)
    fields |= {key: value for key, value in pairs if key == MINOR and value not in _NO_MINOR}
    return fields


def _message(body: bytes) -> tuple[_Message, str | None]:
    """Return the message in a body, and the shape of the body if it is unusual."""
    text = body.decode("utf-8-sig", errors="replace").strip()
    if text.startswith("<"):
        raise NoScene("not_an_api", detail="the answer is a web page")
    try:
        # A gateway may end a whole answer with the mark of a stream.
        completion, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        chunks = list(_events(text))
        if not chunks:
            raise NoScene("nonsense", detail="the answer is no JSON") from None
        return _joined(chunks), "a stream that was not asked for"
    is_alone = end == len(text)
    return _message_of(completion), None if is_alone else "with the mark of a stream"


def _events(text: str) -> Iterator[Any]:
    for line in text.splitlines():
        if line.startswith("data:"):
            try:
                yield json.loads(line.removeprefix("data:"))
            except (ValueError, RecursionError):
                continue  # [DONE]


def _joined(chunks: Sequence[Any]) -> _Message:
    # A chunk without choices has the usage.
    parts = [_message_of(each) for each in chunks if _choices(each) != []]
    return _Message(
        content="".join(part.content for part in parts),
        arguments="".join(part.arguments for part in parts),
        reasoning="".join(part.reasoning for part in parts),
        refusal=any(part.refusal for part in parts),
        finish_reason=next((p.finish_reason for p in reversed(parts) if p.finish_reason), ""),
    )


def _choices(completion: Any) -> Any:
    return completion.get("choices") if isinstance(completion, dict) else None


def _message_of(completion: Any) -> _Message:
    if not isinstance(completion, dict):
        raise NoScene("nonsense", detail="the answer is no JSON object")
    _raise_error(completion)
    match completion.get("choices"):
        case [dict() as choice, *_]:
            _raise_error(choice)
        case []:
            raise NoScene("empty", detail="an answer without choices")
        case _:
            if {"detail", "message"} & set(completion):
                raise NoScene("server_error", detail="an error in place of an answer")
            raise NoScene("nonsense", detail="the answer has no choices")
    said = choice.get("message") or choice.get("delta") or {"content": choice.get("text")}
    if not isinstance(said, dict):
        raise NoScene("nonsense", detail="the answer has no message")
    return _Message(
        content=_text(said.get("content")),
        arguments=_arguments(said),
        reasoning=_text(said.get("reasoning_content") or said.get("reasoning")),
        refusal=bool(said.get("refusal")) or _has_refusal(said.get("content")),
        finish_reason=str(choice.get("finish_reason") or "").casefold(),
    )


def _raise_error(answer: Mapping[str, Any]) -> None:
    """Raise if a server tells of an error, which gateways do with the status 200 too."""
    error = answer.get("error")
    if not error:
        return
    fields = error if isinstance(error, dict) else {}
    status = str(fields.get("code") or fields.get("status"))
    if _HTTP_STATUS.fullmatch(status):
        raise NoScene(f"http_{status}", detail=f"an error {status} in an answer with status 200")
    raise NoScene("server_error", detail="an error in an answer with status 200")


def _text(content: Any) -> str:
    """Return the text of a content: a text, a list of parts, or an object in place of its text."""
    match content:
        case str():
            return content
        case dict():
            return json.dumps(content)
        case list():
            return "".join(map(_text_of_part, content))
        case _:
            return ""


def _text_of_part(part: Any) -> str:
    match part:
        case str():
            return part
        # Not the parts with reasoning.
        case {"type": "text" | "output_text", "text": str(text)}:
            return text
        case _:
            return ""


def _has_refusal(content: Any) -> bool:
    return isinstance(content, list) and any(
        isinstance(part, dict) and part.get("type") == "refusal" for part in content
    )


def _arguments(said: Mapping[str, Any]) -> str:
    calls = said.get("tool_calls")
    functions = (
        [call.get("function") for call in calls if isinstance(call, dict)]
        if (isinstance(calls, list))
        else []
    )
    return "".join(
        _text(function.get("arguments"))
        for function in (*functions, said.get("function_call"))
        if isinstance(function, dict)
    )
