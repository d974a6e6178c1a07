"""Replays a recorded client against a sandbox, over real sockets."""

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import ClientResponse, ClientSession, ClientTimeout, ClientWebSocketResponse, WSMsgType

from tests.support.comfyui_raw_bodies import raw_body
from tests.support.comfyui_recording import Line, comparable, picture_frame, recorded
from tests.support.patience import PATIENCE_S
from tests.support.paused_comfyui import StepGate

# Nothing tells of the end of a prompt that no socket listens to.
_LOOK_AGAIN_S = 0.01
_ENDS = ("execution_success", "execution_interrupted")
_QUESTIONS = tuple(
    f"GET {prefix}/{name}"
    for prefix in ("", "/api")
    for name in ("history", "queue", "prompt", "jobs")
)


@dataclass
class Socket:
    """One websocket of the client, and everything that it received."""

    wire: ClientWebSocketResponse
    grew: asyncio.Event
    frames: list[Any] = field(default_factory=list)
    pongs: int = 0

    async def read(self) -> None:
        async for message in self.wire:
            if message.type is WSMsgType.TEXT:
                self.frames.append(json.loads(message.data))
            elif message.type is WSMsgType.BINARY:
                self.frames.append(picture_frame(message.data))
            elif message.type is WSMsgType.PONG:
                self.pongs += 1
            self.grew.set()

    async def hear_all(self) -> None:
        """Wait until everything that was sent before has arrived (by a ping)."""
        if self.wire.closed:
            return
        wanted = self.pongs + 1
        await self.wire.ping()
        while self.pongs < wanted:
            self.grew.clear()
            await self.grew.wait()


class Replay:
    """A client that does what the recorded one did, when the server is as far as it was then.

    Before each action it lets the server go on until its sockets have received as many frames as
    the recorded ones had, and no more. `on_note` does what the recorded client did without
    recording it; `headers` are those of single calls, by their number.
    """

    def __init__(
        self,
        address: str,
        gate: StepGate,
        *,
        on_note: Mapping[str, "OnNote"] | None = None,
        headers: Mapping[int, Mapping[str, str]] | None = None,
    ) -> None:
        self.ids: dict[str, str] = {}
        self.answers: list[Any] = []
        self.sockets: dict[str, Socket] = {}
        self.note = ""
        self._address = address
        self._gate = gate
        self._on_note = on_note or {}
        self._headers = headers or {}
        # For each socket all frames of the recording, and how many should have been sent by now.
        self._recorded: dict[str, list[Any]] = {}
        self._due: dict[str, int] = defaultdict(int)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        session = ClientSession(f"http://{self._address}", timeout=ClientTimeout(PATIENCE_S))
        self.session = await self._stack.enter_async_context(session)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._stack.aclose()

    @property
    def heard(self) -> dict[str, list[Any]]:
        """Everything that the server sent: the HTTP answers, and the frames by socket."""
        frames = {name: socket.frames for name, socket in self.sockets.items()}
        return {"http": self.answers, **frames}

    async def play(self, lines: Sequence[Line]) -> None:
        self._recorded = recorded(lines)
        await self._use_numbers_up(lines)
        for line in lines:
            if line.is_frame:
                self._due[line.socket] += 1
                continue
            before = self._before_the_status_of(line)
            if not _is_question(line):
                await self.catch_up(self._due | before)
            await self._act(line)
            await self._hear({name: count + 1 for name, count in before.items()})
            if line.kind == "POST /prompt" and not self.sockets:
                await self.go_on(
                    1
                )  # without a socket no frame is sent, so there is nothing to wait for
        await self.catch_up(self._due)
        await self.finish_all()

    async def _use_numbers_up(self, lines: Sequence[Line]) -> None:
        """Make the server number as many prompts as the recorded one had."""
        answers = [line.data["response"] for line in lines if line.kind == "POST /prompt"]
        numbers = [answer["number"] for answer in answers if "number" in answer]
        for _ in range(abs(numbers[0]) if numbers else 0):
            await self.session.post("/prompt", json={"prompt": {}})

    async def catch_up(self, due: Mapping[str, int]) -> None:
        """Let the server go on until its sockets have received so many frames.

        The recorder may have written a frame down before the answer to the call that caused it: a
        server that has nothing to do, or waits for the next call, is as far as it can be.
        """
        async with asyncio.timeout(PATIENCE_S):
            while not self._is_level(due):
                heard = self._frames_heard
                if not await self._may_go_on():
                    break
                await self._come_closer(heard)
            await self._hear_all()

    async def go_on(self, times: int) -> None:
        """Let the server go on by so many nodes or steps, and wait until it is held again."""
        for _ in range(times):
            await self._until_held()
            self._gate.release()
        await self._until_held()

    async def finish_all(self) -> None:
        """Let the server finish all its prompts, and read all its frames."""
        async with asyncio.timeout(PATIENCE_S):
            while await self._remaining():
                if self._gate.is_waiting:
                    self._gate.release()
                else:
                    await self._gate.movement(within_s=_LOOK_AGAIN_S)
            await self._hear_all()

    async def request(self, line: Line) -> Any:
        """Send a line's request with our ids and names; returns the answer as a recording has it."""
        method, path = line.kind.split(" ", 1)
        for theirs, ours in self._names():
            path = path.replace(theirs, ours)
        body = self._body(line.data["request"])
        headers = self._headers.get(len(self.answers))
        async with self.session.request(method, path, headers=headers, **body) as response:
            answer = await _answer(response)
        match answer["response"], line.data["response"]:
            case {"prompt_id": ours}, {"prompt_id": theirs}:
                self.ids[ours] = theirs
            case _:
                pass
        return answer

    async def _act(self, line: Line) -> None:
        match line.direction, line.kind:
            case "note", _:
                self.note = str(line.data)
                if self.note in self._on_note:
                    await self._on_note[self.note](self)
            case "ws", "connect":
                await self._connect(line)
            case "recv", "ws-CLOSING":
                await self.sockets[line.socket].wire.close()
            case "send", "text":
                await self.sockets[line.socket].wire.send_json(line.data)
            case "http", _:
                self.answers.append(await self._call(line))
            case "unrecorded", _:
                await self.request(line)
            case other:
                raise AssertionError(other)

    async def _call(self, line: Line) -> Any:
        if _is_question(line):
            return await self._ask(line)
        if line.kind.endswith(("/interrupt", "/cancel")) and self._comes_amid_a_node(line):
            await self.go_on(1)
        return await self.request(line)

    def _comes_amid_a_node(self, line: Line) -> bool:
        """Tell whether the recorded server noticed an interrupt only at the next node."""
        for name, socket in self.sockets.items():
            coming = self._recorded[name][len(socket.frames) :]
            told = [frame.get("type") for frame in coming]
            if _is_missed(line, coming):
                return True
            if "execution_interrupted" not in told:
                continue
            before = told[: told.index("execution_interrupted")]
            if "executing" in before and "execution_start" not in before:
                return True
        return False

    async def _ask(self, line: Line) -> Any:
        """Send a request that changes nothing, when the answer is the recorded one.

        The recording does not say when exactly the client asked, only that it was after the call
        before and about when its sockets had received so much.
        """
        answer = await self.request(line)
        if isinstance(line.data["response"], str) and not isinstance(answer["response"], str):
            # Too long for the recording, which has the beginning of its text.
            return answer | {"response": line.data["response"]}
        async with asyncio.timeout(PATIENCE_S):
            while not self._agrees(answer, line) and await self._may_go_on():
                await self._come_closer(self._frames_heard)
                answer = await self.request(line)
        return answer

    def _agrees(self, answer: Any, line: Line) -> bool:
        ours = comparable({"http": [answer]}, self.ids)
        return bool(ours == comparable({"http": [line.data]}))

    async def _may_go_on(self) -> bool:
        """Tell whether the server has something to do that does not wait for our next call."""
        return (self._gate.is_waiting or await self._remaining() > 0) and not self._waits_for_us()

    async def _connect(self, line: Line) -> None:
        """Open a socket, at the node that the recorded one was sent when it opened."""
        queued = _queued(self._recorded[line.socket])
        async with asyncio.timeout(PATIENCE_S):
            while 0 <= queued < await self._remaining():
                await self._come_closer(self._frames_heard)
        await self._open(line)
        expected = _place(self._recorded[line.socket])
        while expected is not None and _place(self.sockets[line.socket].frames) != expected:
            await self.sockets[line.socket].wire.close()
            await self.go_on(1)
            await self._open(line)

    async def _open(self, line: Line) -> None:
        path = "/" + line.data["url"].split("/", 3)[3]
        wire = await self._stack.enter_async_context(self.session.ws_connect(path, autoping=False))
        socket = self.sockets[line.socket] = Socket(wire, self._gate.moved)
        reading = asyncio.create_task(socket.read(), name=f"socket {line.socket}")
        self._stack.callback(reading.cancel)
        await socket.hear_all()

    def _body(self, request: Any) -> dict[str, Any]:
        if request is None:
            return {}
        if request == "<raw>":
            return {"data": raw_body(self.note)}
        return {"json": self._translated(request)}

    def _translated(self, request: Any) -> Any:
        text = json.dumps(request)
        for ours, theirs in self.ids.items():
            text = text.replace(theirs, ours)
        return json.loads(text)

    def _names(self) -> Iterator[tuple[str, str]]:
        """Pair the recorded names with those of this server: prompts and saved files."""
        for ours, theirs in self.ids.items():
            yield theirs, ours
        for name, socket in self.sockets.items():
            pairs = zip(
                _files(self._recorded[name][: self._due[name]]), _files(socket.frames), strict=False
            )
            # The last file of a name counts: a number is used again after its file was deleted.
            yield from dict(pairs).items()

    def _before_the_status_of(self, line: Line) -> dict[str, int]:
        """Count the frames that came before the status event of a line's new prompt.

        The recorder's threads wrote frames and answers down in any order. In the order of one
        socket, a prompt was posted where the queue becomes longer.
        """
        if "prompt_id" not in (line.data["response"] if line.direction == "http" else ()):
            return {}
        counts = {name: self._next_longer_queue(name) for name in self.sockets}
        return {name: count for name, count in counts.items() if count is not None}

    def _next_longer_queue(self, name: str) -> int | None:
        frames, heard = self._recorded[name], len(self.sockets[name].frames)
        for position in range(heard, len(frames)):
            before = _queued(reversed(frames[:position]))
            if _queued(frames[position : position + 1]) > before >= 0:
                return position
        return None

    async def _hear(self, due: Mapping[str, int]) -> None:
        """Wait for frames that the server sends without going on."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._is_level(due):
                await self._hear_all()

    def _waits_for_us(self) -> bool:
        """Tell whether the next frames are those of a longer queue, which only a client causes."""
        places = {name: self._next_longer_queue(name) for name in self.sockets}
        waiting = [
            place == len(self.sockets[name].frames)
            for name, place in places.items()
            if place is not None
        ]
        return bool(waiting) and all(waiting)

    def _is_level(self, due: Mapping[str, int]) -> bool:
        return all(len(socket.frames) >= due.get(name, 0) for name, socket in self.sockets.items())

    async def _come_closer(self, heard: int) -> None:
        """Let the server go on by one node or step, if it is held and has sent no new frame."""
        self._gate.moved.clear()
        is_waiting = self._gate.is_waiting
        await self._hear_all()
        if self._frames_heard > heard:
            return
        if is_waiting:
            self._gate.release()
        elif await self._remaining():
            await self._gate.moved.wait()

    @property
    def _frames_heard(self) -> int:
        return sum(len(socket.frames) for socket in self.sockets.values())

    async def _hear_all(self) -> None:
        for socket in self.sockets.values():
            await socket.hear_all()

    async def _until_held(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not self._gate.is_waiting:
                self._gate.moved.clear()
                await self._gate.moved.wait()

    async def _remaining(self) -> int:
        async with self.session.get("/prompt") as response:
            told = await response.json()
        return int(told["exec_info"]["queue_remaining"])


OnNote = Callable[[Replay], Awaitable[None]]


def _is_missed(line: Line, coming: Iterable[Any]) -> bool:
    """Tell whether the prompt that a call interrupts ended with success all the same."""
    wish = line.data["request"]
    meant = wish.get("prompt_id") if isinstance(wish, dict) else None
    ends = (each for each in coming if each.get("type") in _ENDS)
    end = next(ends, None)
    return end is not None and (end["type"], end["data"]["prompt_id"]) == (_ENDS[0], meant)


def _place(frames: Sequence[Any]) -> Any:
    """Return the node that a socket was sent when it opened while its prompt ran."""
    match frames[:2]:
        case [_, {"type": "executing", "data": {"node": node} as told}] if "prompt_id" not in told:
            return node
        case _:
            return None


def _is_question(line: Line) -> bool:
    return line.direction == "http" and line.kind.startswith(_QUESTIONS)


def _queued(frames: Iterable[Any]) -> int:
    """Return the queue length in the first status event, -1 if there is none."""
    for frame in frames:
        if frame.get("type") == "status":
            return int(frame["data"]["status"]["exec_info"]["queue_remaining"])
    return -1


def _files(frames: Iterable[Any]) -> Iterator[str]:
    for frame in frames:
        if frame.get("type") == "executed":
            yield from (image["filename"] for image in frame["data"]["output"]["images"])


async def _answer(response: ClientResponse) -> dict[str, Any]:
    body = await response.read()
    told: Any = body.decode(errors="replace")
    if response.content_type.startswith("image/"):
        told = {"bytes_b64_64": base64.b64encode(body[:64]).decode(), "len": len(body)}
    elif response.content_type == "application/json":
        told = json.loads(body)
    return {"status": response.status, "headers": dict(response.headers), "response": told}
