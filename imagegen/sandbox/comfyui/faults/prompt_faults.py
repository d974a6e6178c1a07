"""What befalls prompts while they run: bad memory, bad luck, other people, models to load."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from imagegen.sandbox.comfyui.faults.fault import Fault
from imagegen.sandbox.comfyui.faults.injection import FaultInjection, event_of
from imagegen.sandbox.comfyui.faults.interrupts import Interrupt, NodeError
from imagegen.sandbox.comfyui.faults.kinds import FaultKind

# How ComfyUI words them: what torch says, and under it the advice of its own.
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
    """A time that a host spent on loading another set of models than it had."""

    prompt_id: str
    when: float
    seconds: float


@dataclass(kw_only=True)
class PromptFaults:
    """Knows what is due for the running prompt, and which models are loaded."""

    injection: FaultInjection = field(default_factory=FaultInjection)
    out_of_memory: str = "torch.OutOfMemoryError"
    load_seconds: float = 0.0
    loads: list[ModelLoad] = field(default_factory=list)
    _loaded_for: object = None
    _is_unloaded: bool = False

    async def wait_while_frozen(self) -> None:
        """Wait while the host stands still."""
        await self.injection.freeze_gate.passed()

    async def stall(self, prompt_id: str, interrupt: Interrupt) -> None:
        """Stop here, if that is due, until the prompt is interrupted or the fault is over."""
        fault = self.injection.script.take(FaultKind.STALL, prompt_id=prompt_id)
        if fault is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(fault.lasts_s):
                    await interrupt.requested()

    def fail_node_if_due(self, class_type: str, prompt_id: str, *, computes: bool) -> None:
        """Raise what is due for a node; without a name in the script that is one that computes."""

        def matches(fault: Fault) -> bool:
            return computes if fault.node is None else fault.node == class_type

        script = self.injection.script
        if script.take(FaultKind.OUT_OF_MEMORY, prompt_id=prompt_id, matches=matches):
            # ComfyUI unloads all models then.
            self._is_unloaded = True
            raise NodeError(self.out_of_memory, _NO_MEMORY, advice=_ADVICE)
        if script.take(FaultKind.BAD_GPU, prompt_id=prompt_id, matches=matches):
            raise NodeError("torch.AcceleratorError", _BAD_GPU)

    async def load_models(self, class_type: str, prompt_id: str, run: object) -> None:
        """Spend the time for another set of models: once per run, when its first loader runs."""
        is_due = class_type in LOADERS or (self._is_unloaded and "Sampler" in class_type)
        if not is_due or self._loaded_for is run:
            return
        self._loaded_for, self._is_unloaded = run, False
        self.loads.append(
            ModelLoad(prompt_id=prompt_id, when=time.time(), seconds=self.load_seconds)
        )
        if self.load_seconds:
            await asyncio.sleep(self.load_seconds)

    def take_cached_fault(self, prompt_id: str) -> Fault | None:
        """Take the fault by which a prompt counts as drawn before."""
        return self.injection.script.take(FaultKind.CACHED, prompt_id=prompt_id)

    async def delay_history(self, prompt_id: str) -> None:
        """Let time pass between a prompt's success and its entry in the history."""
        fault = self.injection.script.take(FaultKind.LATE_HISTORY, prompt_id=prompt_id)
        if fault is not None:
            await self.injection.freeze_gate.pause(fault.lasts_s)

    def loses_interrupt(self, prompt_id: str) -> bool:
        return self.injection.script.take(FaultKind.LOST_INTERRUPT, prompt_id=prompt_id) is not None

    def interrupt_if_due(self, type_: str, data: Mapping[str, Any], interrupt: Interrupt) -> None:
        """Interrupt the running prompt as somebody else would, if that is due at this event."""
        if not self.injection.script.expects(FaultKind.FOREIGN_INTERRUPT):
            return
        event = event_of(type_, data)
        prompt_id = event.prompt_id
        taken = self.injection.script.take(
            FaultKind.FOREIGN_INTERRUPT, prompt_id=prompt_id, matches=event.matches
        )
        if taken is not None:
            interrupt.request()
