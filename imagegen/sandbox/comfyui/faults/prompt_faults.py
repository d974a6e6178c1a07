"""The faults of running prompts: out of memory, a bad GPU, a stall, interrupts, model loads."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from imagegen.sandbox.comfyui.execution.interrupts import Interrupt, NodeError
from imagegen.sandbox.comfyui.execution.node_order import Graph
from imagegen.sandbox.comfyui.faults.fault import Fault
from imagegen.sandbox.comfyui.faults.injection import FaultInjection, event_of
from imagegen.sandbox.comfyui.faults.kinds import FaultKind

# ComfyUI's error texts: torch's message, and below it ComfyUI's own advice.
_NO_MEMORY = "Allocation on device "
_ADVICE = (
    "This error means you ran out of memory on your GPU.\n\n"
    "TIPS: If the workflow worked before you might have accidentally set the batch_size to a"
    " large number."
)
_BAD_GPU = (
    "CUDA error: an illegal memory access was encountered\n"
    "CUDA kernel errors might be asynchronously reported at some other API call, so the"
    " stacktrace below might be incorrect.\n"
    "For debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
)

LOADERS = frozenset(
    {
        *("UNETLoader", "CLIPLoader", "DualCLIPLoader", "VAELoader", "CheckpointLoaderSimple"),
        *("LoraLoader", "LoraLoaderModelOnly", "UpscaleModelLoader"),
    }
)


@dataclass(frozen=True, kw_only=True)
class ModelLoad:
    """A time that a host spent on loading other models than it had.

    `when` is its begin in seconds as time.time() counts.
    """

    prompt_id: str
    when: float
    seconds: float


@dataclass(kw_only=True)
class PromptFaults:
    """The faults that are due for the running prompt, and which prompt's models are loaded."""

    injection: FaultInjection = field(default_factory=FaultInjection)
    out_of_memory: str = "torch.OutOfMemoryError"
    load_seconds: float = 0.0
    loads: list[ModelLoad] = field(default_factory=list)
    # The files of the models in memory; empty when they were unloaded.
    _loaded: frozenset[str] = frozenset()

    async def wait_while_frozen(self) -> None:
        """Wait while the host is frozen."""
        await self.injection.freeze_gate.passed()

    async def stall(self, prompt_id: str, interrupt: Interrupt) -> None:
        """Wait, if a stall is due, until the prompt is interrupted or the fault is over."""
        fault = self.injection.script.take(FaultKind.STALL, prompt_id=prompt_id)
        if fault is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(fault.lasts_s):
                    await interrupt.requested()

    def fail_node_if_due(self, class_type: str, prompt_id: str, *, computes: bool) -> None:
        """Fail this node if a fault is due for it.

        A fault without `node` applies to the first node that computes.

        Raises:
            NodeError: out of GPU memory, or a CUDA error.
        """

        def matches(fault: Fault) -> bool:
            return computes if fault.node is None else fault.node == class_type

        script = self.injection.script
        if script.take(FaultKind.OUT_OF_MEMORY, prompt_id=prompt_id, matches=matches):
            # ComfyUI unloads all models when the memory is full.
            self.unload()
            raise NodeError(self.out_of_memory, _NO_MEMORY, advice=_ADVICE)
        if script.take(FaultKind.BAD_GPU, prompt_id=prompt_id, matches=matches):
            raise NodeError("torch.AcceleratorError", _BAD_GPU)

    async def load_models(self, class_type: str, prompt_id: str, graph: Graph) -> None:
        """Wait for the load of a graph's models, at its first loader, if others are in memory.

        As on a real server no frame is sent meanwhile, and an interrupt takes effect after it.
        """
        files = _model_files(graph)
        is_due = class_type in LOADERS or (not self._loaded and "Sampler" in class_type)
        if not is_due or files == self._loaded:
            return
        self.loads.append(
            ModelLoad(prompt_id=prompt_id, when=time.time(), seconds=self.load_seconds)
        )
        if self.load_seconds:
            await asyncio.sleep(self.load_seconds)
        self._loaded = files

    def unload(self) -> None:
        """Forget the models in memory, as POST /free and a lack of memory do."""
        self._loaded = frozenset()

    def take_cached_fault(self, prompt_id: str) -> Fault | None:
        """Take the fault by which the prompt counts as drawn before."""
        return self.injection.script.take(FaultKind.CACHED, prompt_id=prompt_id)

    async def delay_history(self, prompt_id: str) -> None:
        """Wait between the prompt's success and its entry in the history."""
        fault = self.injection.script.take(FaultKind.LATE_HISTORY, prompt_id=prompt_id)
        if fault is not None:
            await self.injection.freeze_gate.pause(fault.lasts_s)

    def loses_interrupt(self, prompt_id: str) -> bool:
        """Take the fault by which an interrupt has no effect; True if it was due."""
        return self.injection.script.take(FaultKind.LOST_INTERRUPT, prompt_id=prompt_id) is not None

    def interrupt_if_due(self, type_: str, data: Mapping[str, Any], interrupt: Interrupt) -> None:
        """Interrupt the running prompt as another client would, if that is due at this event."""
        if not self.injection.script.expects(FaultKind.FOREIGN_INTERRUPT):
            return
        event = event_of(type_, data)
        prompt_id = event.prompt_id
        taken = self.injection.script.take(
            FaultKind.FOREIGN_INTERRUPT, prompt_id=prompt_id, matches=event.matches
        )
        if taken is not None:
            interrupt.request()


def _model_files(graph: Graph) -> frozenset[str]:
    return frozenset(
        value
        for node in graph.values()
        if node["class_type"] in LOADERS
        for name, value in node["inputs"].items()
        if "_name" in name and isinstance(value, str)
    )
