"""One prompt from execution_start to its end."""

import asyncio
import time
from dataclasses import replace
from typing import Any

from imagegen.sandbox.comfyui.execution.cache import NodeCache, NodeOutput
from imagegen.sandbox.comfyui.execution.image_nodes import INPUT_NODES, PICTURE_NODES
from imagegen.sandbox.comfyui.execution.loader_nodes import MODEL_NODES
from imagegen.sandbox.comfyui.execution.node_context import (
    HostContext,
    InterruptedRun,
    NodeContext,
    NodeError,
)
from imagegen.sandbox.comfyui.execution.node_definitions import NodeDefinitions
from imagegen.sandbox.comfyui.execution.node_order import ExecutionPlan, is_link
from imagegen.sandbox.comfyui.execution.progress import NodeProgressState
from imagegen.sandbox.comfyui.execution.queue import PromptOutcome, QueueItem
from imagegen.sandbox.comfyui.execution.sampler_nodes import WORKING_NODES

Inputs = dict[str, Any]


class PromptRun:
    """A prompt that is being drawn: the frames it sends are those of a real server, in order."""

    def __init__(
        self,
        item: QueueItem,
        *,
        definitions: NodeDefinitions,
        cache: NodeCache,
        surroundings: HostContext,
    ) -> None:
        self.item = item
        self.at: str | None = None
        self.started: list[str] = []
        self._definitions = definitions
        self._cache = cache
        self._around = surroundings
        self._progress = NodeProgressState(item.prompt_id)
        self._messages: list[tuple[str, dict[str, Any]]] = []
        self._ui: dict[str, Any] = {}
        self._origins: dict[str, str] = {}
        self._executed: list[str] = []

    async def finish(self) -> PromptOutcome:
        """Run all nodes that have to; whatever they raise ends in the outcome, not here."""
        self._note("execution_start")
        self._cache.open(self.item.graph)
        self._note("execution_cached", nodes=[n for n in self.item.graph if self._is_cached(n)])
        plan = ExecutionPlan(
            self.item.graph,
            self.item.outputs,
            is_output=lambda node: self._definitions.is_output(self._class_of(node)),
            is_cached=self._is_cached,
        )
        succeeded = await self._follow(plan)
        self.at = None
        return PromptOutcome(
            succeeded=succeeded, messages=self._messages, outputs=self._ui, origins=self._origins
        )

    async def _follow(self, plan: ExecutionPlan) -> bool:
        while plan:
            node = plan.next()
            inputs: Inputs = {}
            try:
                await self._run(node, inputs)
            except InterruptedRun:
                self._note("execution_interrupted", **self._place(node))
                return False
            except Exception as problem:  # noqa: BLE001 whatever a node raises is its prompt's end
                self._note_failure(node, inputs, problem)
                return False
            plan.done(node)
        self._note("execution_success")
        return True

    async def _run(self, node: str, inputs: Inputs) -> None:
        cached = self._cache.get(node)
        if cached is not None:
            self._tell_output(node, cached)
        else:
            await self._run_anew(node, inputs)
        self._progress.finish(node)
        self._tell_state()

    async def _run_anew(self, node: str, inputs: Inputs) -> None:
        self.at = node
        self.started.append(node)
        self._progress.start(node)
        self._tell_state()
        inputs |= self._inputs_of(node)
        self._tell_executing(node)
        desk = self._desk(node)
        # Gives other tasks their turn between nodes, as a server with a worker thread would.
        await self._around.sleep(0)
        desk.stop_if_interrupted()
        await self._meet_fate(self._class_of(node))
        # An interrupt from here on is noticed by the next node.
        await self._around.sleep(0)
        ran = replace(await _work(self._class_of(node), inputs, desk), node=node)
        self._cache.keep(node, ran)
        self._executed.append(node)
        if ran.ui is not None:
            self._tell_output(node, ran)

    async def _meet_fate(self, class_type: str) -> None:
        fate, prompt_id = self._around.fate, self.item.prompt_id
        await fate.go_on()
        await fate.load(class_type, prompt_id, self)
        computes = class_type in WORKING_NODES or class_type in PICTURE_NODES
        fate.strike(class_type, prompt_id, computes=computes)

    def _inputs_of(self, node: str) -> Inputs:
        class_type = self._class_of(node)
        known = self._definitions.inputs(class_type)
        given = self.item.graph[node]["inputs"]
        inputs = {name: self._value(value) for name, value in given.items() if name in known}
        for name, source in self._definitions.hidden(class_type).items():
            if source == "PROMPT":
                inputs[name] = self.item.graph
            if source == "EXTRA_PNGINFO":
                inputs[name] = self.item.extra_data.get("extra_pnginfo")
        return inputs

    def _value(self, value: Any) -> Any:
        if not is_link(value):
            return value
        source, slot = value
        ran = self._cache.get(source)
        return None if ran is None else ran.values[slot]

    def _desk(self, node: str) -> NodeContext:
        return NodeContext(
            node=node,
            graph=self.item.graph,
            extra_data=self.item.extra_data,
            progress=self._progress,
            surroundings=self._around,
        )

    def _class_of(self, node: str) -> str:
        return str(self.item.graph[node]["class_type"])

    def _is_cached(self, node: str) -> bool:
        return self._cache.get(node) is not None

    def _place(self, node: str) -> dict[str, Any]:
        return {"node_id": node, "node_type": self._class_of(node), "executed": self._executed}

    def _note_failure(self, node: str, inputs: Inputs, problem: Exception) -> None:
        type_name = type(problem).__name__
        advice = problem.advice if isinstance(problem, NodeError) else ""
        self._note(
            "execution_error",
            **self._place(node),
            exception_message=f"{problem}\n{advice}",
            exception_type=problem.type_name if isinstance(problem, NodeError) else type_name,
            traceback=[],
            current_inputs={name: [_as_json(value)] for name, value in inputs.items()},
            current_outputs=list(self.item.graph),
        )

    def _note(self, event: str, **facts: Any) -> None:
        """Send an event to the prompt's own client, and keep it for the history."""
        noted = {"prompt_id": self.item.prompt_id, **facts, "timestamp": _now_ms()}
        self._messages.append((event, noted))
        self._tell_own(event, noted)

    def _tell_executing(self, node: str) -> None:
        facts = {"node": node, "display_node": node, "prompt_id": self.item.prompt_id}
        self._tell_own("executing", facts)

    def _tell_output(self, node: str, ran: NodeOutput) -> None:
        if ran.ui is not None:
            self._ui[node] = ran.ui
            self._origins[node] = ran.node
        facts = {"node": node, "display_node": node, "output": ran.ui}
        self._tell_own("executed", {**facts, "prompt_id": self.item.prompt_id})

    def _tell_own(self, event: str, facts: dict[str, Any]) -> None:
        if self.item.client_id is not None:
            self._around.feed.tell(event, facts, self.item.client_id)

    def _tell_state(self) -> None:
        # Without a client id this goes to everybody, on real servers too.
        self._around.feed.tell("progress_state", self._progress.frame(), self.item.client_id)


async def _work(class_type: str, inputs: Inputs, desk: NodeContext) -> NodeOutput:
    for nodes in (WORKING_NODES, INPUT_NODES):
        if class_type in nodes:
            ran: NodeOutput = await nodes[class_type](inputs, desk)
            return ran
    if class_type in PICTURE_NODES:
        values = await asyncio.to_thread(PICTURE_NODES[class_type], inputs)
    else:
        values = MODEL_NODES[class_type](inputs)
    return NodeOutput(values=values if isinstance(values, tuple) else (values,))


def _as_json(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | bool | str) else str(value)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
