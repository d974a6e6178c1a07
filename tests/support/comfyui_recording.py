"""Recordings of real ComfyUI servers: their lines, and how two of them are compared."""

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
# A client id made by the server, for a client that sends none.
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
        """Whether it is a frame; the recorder also wrote down how a socket ended."""
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
    """Split a binary frame as the recorder did."""
    event = int.from_bytes(frame[:4], "big")
    frame_data: dict[str, Any] = {"event": event, "b64_64": base64.b64encode(frame[:64]).decode()}
    if event == 4:
        length = int.from_bytes(frame[4:8], "big")
        frame_data |= {"meta": json.loads(frame[8 : 8 + length])}
        payload = frame[8 + length :]
    else:
        frame_data |= {"image_type": int.from_bytes(frame[4:8], "big")}
        payload = frame[8:]
    return frame_data | {"payload_magic": payload[:4].hex()}


def recorded(lines: Iterable[Line]) -> dict[str, list[Any]]:
    """Return what a recorded server sent: the frames by socket, and the HTTP answers."""
    sent: dict[str, list[Any]] = {"http": []}
    for line in lines:
        if line.direction == "http":
            sent["http"].append(line.data)
        if line.is_frame:
            sent.setdefault(line.socket, []).append(line.data)
    return sent


def comparable(sent: dict[str, list[Any]], ids: Mapping[str, str] | None = None) -> Any:
    """Return what a server sent in one scenario, without ids, times, counters and paths."""
    sent = sent | {"http": [_answer(answer) for answer in sent["http"]]}
    text = json.dumps(sent)
    for ours, theirs in (ids or {}).items():
        text = text.replace(ours, theirs)
    return _Normaliser(json.loads(text)).done()


def _answer(answer: dict[str, Any]) -> dict[str, Any]:
    headers = answer["headers"]
    names = [name for name in ("Content-Type", "Content-Disposition") if name in headers]
    kept = {name: headers[name] for name in names}
    body = answer["response"]
    if isinstance(body, dict) and "bytes_b64_64" in body:
        # The size of an image depends on its compression.
        body = body["bytes_b64_64"]
    if isinstance(body, str) and body.startswith("{"):
        # JSON that was too long for the recording, which has the beginning of its text.
        body = "<cut>"
    return {"status": answer["status"], "headers": kept, "response": body}


class _Normaliser:
    """Normalises file counters and prompt numbers, which depend on earlier prompts of the server.

    Here each begins at the smallest one of the scenario.
    """

    def __init__(self, sent: Any) -> None:
        self._sent = sent
        self._first_file: dict[str, int] = {}
        for prefix, _, number in _FILE.findall(json.dumps(sent)):
            self._first_file[prefix] = min(int(number), self._first_file.get(prefix, 99999))
        # A prompt posted with `front` has a negative number.
        self._first_number = min(map(abs, _numbers(sent)), default=0)

    def done(self) -> Any:
        return self._normalised(self._sent)

    def _normalised(self, value: Any, key: str = "") -> Any:
        match value:
            case {"b64_64": _}:
                return self._normalised_image(value)
            case dict():
                return {name: self._normalised(each, name) for name, each in value.items()}
            case [number, str() as prompt_id, dict() as graph, dict() as extra, list() as outputs]:
                rest = self._normalised([prompt_id, graph, extra, outputs])
                return [self._normalised_number(number), *rest]
            case list() if key in ("executed", "current_outputs"):
                # Sets on real servers: their order differs from process to process.
                return sorted(value)
            case list():
                return [] if key == "traceback" else [self._normalised(each) for each in value]
            case str() if key == "sid" and _SID.fullmatch(value):
                return "<sid>"
            case str():
                return self._normalised_text(value)
            case int() if key in _TIMES:
                return 0
            case int() | float() if key == "number":
                return self._normalised_number(value)
            case _:
                return value

    def _normalised_number(self, number: float) -> float:
        if isinstance(number, float):  # the client's own choice
            return number
        settled = abs(number) - self._first_number + 1
        return -settled if number < 0 else settled

    def _normalised_image(self, frame: dict[str, Any]) -> Any:
        kept = {name: frame[name] for name in frame if name not in ("b64_64", "len", "meta_len")}
        return self._normalised({**kept, "head": _png_head(frame["b64_64"])})

    def _normalised_text(self, text: str) -> str:
        if text.startswith("tensor("):
            return "tensor"
        return _PATH.sub("<path>", _FILE.sub(self._normalised_file, text))

    def _normalised_file(self, match: re.Match[str]) -> str:
        prefix, _, number = match.groups()
        return f"{prefix}{int(number) - self._first_file[prefix] + 1}"


def _numbers(sent: Any) -> Iterable[int]:
    match sent:
        case {"prompt_id": str(), "number": int() as number}:
            yield number
        case [int() as number, str(), dict(), dict(), list()]:
            yield number
        case dict():
            for each in sent.values():
                yield from _numbers(each)
        case list():
            for each in sent:
                yield from _numbers(each)


def _png_head(b64: str) -> str:
    start = base64.b64decode(b64)
    png = start.find(b"\x89PNG")
    return start[png : png + _PNG_HEAD].hex() if png >= 0 else ""
