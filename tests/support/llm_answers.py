"""What a language model answers."""

import json
from typing import Any

SCENE = {
    "scene": "under a plane tree on a village square",
    "pose": "laughing at something behind the viewer",
    "clothes": "a yellow raincoat",
    "light": "late and golden",
    "mood": "light-hearted",
    "camera": "a medium shot from below",
}


def completion(content: Any, **more: Any) -> dict[str, Any]:
    """Wrap what a model says as a server does; a dict is said as JSON."""
    said = content if isinstance(content, str) else json.dumps(content)
    message = {"role": "assistant", "content": said, **more.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **more}
    return {"id": "cmpl-1", "object": "chat.completion", "choices": [choice], "usage": {}}


def without(*keys: str, **changed: Any) -> dict[str, Any]:
    return {**{key: SCENE[key] for key in SCENE if key not in keys}, **changed}
