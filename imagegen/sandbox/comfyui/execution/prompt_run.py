"""One prompt from execution_start to its end."""

import asyncio
import time
from dataclasses import replace
from typing import Any

from imagegen.sandbox.comfyui.execution.cache import NodeCache, NodeOutput
from imagegen.sandbox.comfyui.execution.image_nodes import IMAGE_NODES, INPUT_NODES
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
from imagegen.sandbox.comfyui.execution.sampler_nodes import SAMPLER_AND_SAVE_NODES

Inputs = dict[str, Any]


class PromptRun:
    """Runs one prompt and sends the frames of a real server, in its order.

    `current_node` is the node that runs now, None before and after; `started` are the ids of the
    nodes that ran, without cached ones.
    """

    def __init__(
        self,
        item: QueueItem,
        *,
        definitions: NodeDefinitions,
        cache: NodeCache,
        host_context: HostContext,
    ) -> None:
        self.item = item
        self.current_node: str | None = None
        self.started: list[str] = []
        self._definitions = definitions
        self._cache = cache
        self._host_context = host_context
        self._progress = NodeProgressState(item.prompt_id)
        self._messages: list[tuple[str, dict[str, Any]]] = []
        self._ui: dict[str, Any] = {}
        self._origins: dict[str, str] = {}
        self._executed: list[str] = []

    async def finish(self) -> PromptOutcome:
        """Run all nodes that have to; an error of a node is part of the outcome and not raised."""
        self._send_and_record("execution_start")
        self._cache.set_graph(self.item.graph)
        self._send_and_record(
            "execution_cached", nodes=[n for n in self.item.graph if self._is_cached(n)]
        )
        plan = ExecutionPlan(
            self.item.graph,
            self.item.outputs,
            is_output=lambda node: self._definitions.is_output(self._class_of(node)),
            is_cached=self._is_cached,
        )
        succeeded = await self._run_plan(plan)
        self.current_node = None
        return PromptOutcome(
            succeeded=succeeded, messages=self._messages, outputs=self._ui, origins=self._origins
        )

    async def _run_plan(self, plan: ExecutionPlan) -> bool:
        while plan:
            node = plan.next()
            inputs: Inputs = {}
            try:
                await self._run_node(node, inputs)
            except InterruptedRun:
                self._send_and_record("execution_interrupted", **self._node_data(node))
                return False
            except Exception as error:  # noqa: BLE001 any error of a node ends its prompt
                self._send_error(node, inputs, error)
                return False
            plan.done(node)
        self._send_and_record("execution_success")
        return True

    async def _run_node(self, node: str, inputs: Inputs) -> None:
        cached = self._cache.get(node)
        if cached is not None:
            self._send_output(node, cached)
        else:
            await self._execute(node, inputs)
        self._progress.finish(node)
        self._send_progress_state()

    async def _execute(self, node: str, inputs: Inputs) -> None:
        self.current_node = node
        self.started.append(node)
        self._progress.start(node)
        self._send_progress_state()
        inputs |= self._inputs_of(node)
        self._send_executing(node)
        context = self._node_context(node)
        # Lets other tasks run between nodes, as a server with a worker thread would.
        await self._host_context.sleep(0)
        context.stop_if_interrupted()
        await self._apply_faults(self._class_of(node))
        # An interrupt after this point stops the next node, not this one.
        await self._host_context.sleep(0)
        output = replace(await _call_node(self._class_of(node), inputs, context), node=node)
        self._cache.store(node, output)
        self._executed.append(node)
        if output.ui is not None:
            self._send_output(node, output)

    async def _apply_faults(self, class_type: str) -> None:
        faults, prompt_id = self._host_context.faults, self.item.prompt_id
        await faults.wait_while_frozen()
        await faults.load_models(class_type, prompt_id, self.item.graph)
        computes = class_type in SAMPLER_AND_SAVE_NODES or class_type in IMAGE_NODES
        faults.fail_node_if_due(class_type, prompt_id, computes=computes)

    def _inputs_of(self, node: str) -> Inputs:
        class_type = self._class_of(node)
        definitions = self._definitions.inputs(class_type)
        graph_inputs = self.item.graph[node]["inputs"]
        inputs = {
            name: self._resolve(value)
            for name, value in graph_inputs.items()
            if name in definitions
        }
        for name, source in self._definitions.hidden(class_type).items():
            if source == "PROMPT":
                inputs[name] = self.item.graph
            if source == "EXTRA_PNGINFO":
                inputs[name] = self.item.extra_data.get("extra_pnginfo")
        return inputs

    def _resolve(self, value: Any) -> Any:
        if not is_link(value):
            return value
        source, slot = value
        output = self._cache.get(source)
        return None if output is None else output.values[slot]

    def _node_context(self, node: str) -> NodeContext:
        return NodeContext(
            node=node,
            graph=self.item.graph,
            extra_data=self.item.extra_data,
            progress=self._progress,
            host_context=self._host_context,
        )

    def _class_of(self, node: str) -> str:
        return str(self.item.graph[node]["class_type"])

    def _is_cached(self, node: str) -> bool:
        return self._cache.get(node) is not None

    def _node_data(self, node: str) -> dict[str, Any]:
        return {"node_id": node, "node_type": self._class_of(node), "executed": self._executed}

    def _send_error(self, node: str, inputs: Inputs, error: Exception) -> None:
        type_name = type(error).__name__
        advice = error.advice if isinstance(error, NodeError) else ""
        self._send_and_record(
            "execution_error",
            **self._node_data(node),
            exception_message=f"{error}\n{advice}",
            exception_type=error.type_name if isinstance(error, NodeError) else type_name,
            traceback=[],
            current_inputs={name: [_as_json(value)] for name, value in inputs.items()},
            current_outputs=list(self.item.graph),
        )

    def _send_and_record(self, event: str, **data: Any) -> None:
        """Send an event to the prompt's own client, and keep it for the history."""
        data = {"prompt_id": self.item.prompt_id, **data, "timestamp": _now_ms()}
        self._messages.append((event, data))
        self._send_to_client(event, data)

    def _send_executing(self, node: str) -> None:
        data = {"node": node, "display_node": node, "prompt_id": self.item.prompt_id}
        self._send_to_client("executing", data)

    def _send_output(self, node: str, output: NodeOutput) -> None:
        if output.ui is not None:
            self._ui[node] = output.ui
            self._origins[node] = output.node
        data = {"node": node, "display_node": node, "output": output.ui}
        self._send_to_client("executed", {**data, "prompt_id": self.item.prompt_id})

    def _send_to_client(self, event: str, data: dict[str, Any]) -> None:
        if self.item.client_id is not None:
            self._host_context.feed.send(event, data, self.item.client_id)

    def _send_progress_state(self) -> None:
        # Without a client id this frame goes to all clients, as on real servers.
        self._host_context.feed.send("progress_state", self._progress.frame(), self.item.client_id)


async def _call_node(class_type: str, inputs: Inputs, context: NodeContext) -> NodeOutput:
    for nodes in (SAMPLER_AND_SAVE_NODES, INPUT_NODES):
        if class_type in nodes:
            output: NodeOutput = await nodes[class_type](inputs, context)
            return output
    if class_type in IMAGE_NODES:
        values = await asyncio.to_thread(IMAGE_NODES[class_type], inputs)
    else:
        values = MODEL_NODES[class_type](inputs)
    return NodeOutput(values=values if isinstance(values, tuple) else (values,))


def _as_json(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | bool | str) else str(value)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
