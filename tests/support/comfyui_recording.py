"""Recordings of real ComfyUI servers: their lines, and what two of them have in common."""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).parents[1] / "recordings" / "comfyui"

_FILE = re.compile(r"(ComfyUI_temp_|[\w-]+?_)([a-z]{5}_)?(\d{5})(?=_\.png)")
_PATH = re.compile(r"/comfyui[\w/.-]*")
# Of the server's making, for a client that brings none.
_SID = re.compile(r"[0-9a-f]{32}")
_TIMES = ("timestamp", "create_time", "execution_start_time", "execution_end_time")
# The signature and the header of a PNG: size, depth and colours, but nothing of its compression.
_PNG_HEAD = 33


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a recording."""

    direction: str
    kind: str
    data: Any
    socket: str

    @property
    def is_frame(self) -> bool:
        """Whether it is a frame; the recorder also noted how a socket ended."""
        return self.direction == "recv" and not self.kind.startswith("ws-")


def read_recording(path: Path) -> list[Line]:
    lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    return [
        Line(
            direction=line["dir"],
            kind=line["kind"],
            data=line["data"],
            socket=line.get("sock", ""),
        )
        for line in lines
    ]


def picture_frame(frame: bytes) -> dict[str, Any]:
    """Take a binary frame apart as the recorder did."""
    event = int.from_bytes(frame[:4], "big")
    told: dict[str, Any] = {"event": event, "b64_64": base64.b64encode(frame[:64]).decode()}
    if event == 4:
        length = int.from_bytes(frame[4:8], "big")
        told |= {"meta": json.loads(frame[8 : 8 + length])}
        payload = frame[8 + length :]
    else:
        told |= {"image_type": int.from_bytes(frame[4:8], "big")}
        payload = frame[8:]
    return told | {"payload_magic": payload[:4].hex()}


def recorded(lines: Iterable[Line]) -> dict[str, list[Any]]:
    """Sort what a recorded server said: by socket, and the HTTP answers."""
    said: dict[str, list[Any]] = {"http": []}
    for line in lines:
        if line.direction == "http":
            said["http"].append(line.data)
        if line.is_frame:
            said.setdefault(line.socket, []).append(line.data)
    return said


def comparable(said: dict[str, list[Any]], ids: Mapping[str, str] | None = None) -> Any:
    """Give what a server said in one scenario, with ids, times, counters and paths aside."""
    said = said | {"http": [_answer(answer) for answer in said["http"]]}
    text = json.dumps(said)
    for ours, theirs in (ids or {}).items():
        text = text.replace(ours, theirs)
    return _Settling(json.loads(text)).done()


def _answer(answer: dict[str, Any]) -> dict[str, Any]:
    headers = answer["headers"]
    names = [name for name in ("Content-Type", "Content-Disposition") if name in headers]
    kept = {name: headers[name] for name in names}
    body = answer["response"]
    if isinstance(body, dict) and "bytes_b64_64" in body:
        # How long a picture is depends on its compression.
        body = body["bytes_b64_64"]
    if isinstance(body, str) and body.startswith("{"):
        # JSON too long for the recording, which has the beginning of its text.
        body = "<cut>"
    return {"status": answer["status"], "headers": kept, "response": body}


class _Settling:
    """File counters and prompt numbers depend on what the server did before the scenario.

    Here each begins at the smallest that the scenario shows.
    """

    def __init__(self, said: Any) -> None:
        self._said = said
        self._first_file: dict[str, int] = {}
        for prefix, _, number in _FILE.findall(json.dumps(said)):
            self._first_file[prefix] = min(int(number), self._first_file.get(prefix, 99999))
        # A prompt that was put in front has its number with a minus.
        self._first_number = min(map(abs, _numbers(said)), default=0)

    def done(self) -> Any:
        return self._settled(self._said)

    def _settled(self, value: Any, key: str = "") -> Any:
        match value:
            case {"b64_64": _}:
                return self._settled_picture(value)
            case dict():
                return {name: self._settled(each, name) for name, each in value.items()}
            case [number, str() as prompt_id, dict() as graph, dict() as extra, list() as outputs]:
                rest = self._settled([prompt_id, graph, extra, outputs])
                return [self._settled_number(number), *rest]
            case list() if key in ("executed", "current_outputs"):
                # Sets on real servers: their order differs from process to process.
                return sorted(value)
            case list():
                return [] if key == "traceback" else [self._settled(each) for each in value]
            case str() if key == "sid" and _SID.fullmatch(value):
                return "<sid>"
            case str():
                return self._settled_text(value)
            case int() if key in _TIMES:
                return 0
            case int() | float() if key == "number":
                return self._settled_number(value)
            case _:
                return value

    def _settled_number(self, number: float) -> float:
        if isinstance(number, float):  # the client's own choice
            return number
        settled = abs(number) - self._first_number + 1
        return -settled if number < 0 else settled

    def _settled_picture(self, frame: dict[str, Any]) -> Any:
        kept = {name: frame[name] for name in frame if name not in ("b64_64", "len", "meta_len")}
        return self._settled({**kept, "head": _png_head(frame["b64_64"])})

    def _settled_text(self, text: str) -> str:
        if text.startswith("tensor("):
            return "tensor"
        return _PATH.sub("<path>", _FILE.sub(self._settled_file, text))

    def _settled_file(self, match: re.Match[str]) -> str:
        prefix, _, number = match.groups()
        return f"{prefix}{int(number) - self._first_file[prefix] + 1}"


def _numbers(said: Any) -> Iterable[int]:
    match said:
        case {"prompt_id": str(), "number": int() as number}:
            yield number
        case [int() as number, str(), dict(), dict(), list()]:
            yield number
        case dict():
            for each in said.values():
                yield from _numbers(each)
        case list():
            for each in said:
                yield from _numbers(each)


def _png_head(b64: str) -> str:
    start = base64.b64decode(b64)
    png = start.find(b"\x89PNG")
    return start[png : png + _PNG_HEAD].hex() if png >= 0 else ""
