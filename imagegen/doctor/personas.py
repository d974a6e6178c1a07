"""The personas: whether each folder loads, passes the screen, and has its trigger words."""

from collections.abc import Awaitable, Callable

from chatflow_hook.settings import BadSetting
from imagegen.doctor.finding import Findings, green, red, yellow
from imagegen.workflows.library import Library
from imagegen.workflows.model_files import has_lora


async def check(library: Callable[[], Awaitable[Library]]) -> Findings:
    """Yield which personas cannot be drawn, whatever hosts have."""
    try:
        loaded = await library()
    except BadSetting as error:
        yield red(str(error), "give it the directory with a folder for each persona")
        return
    for name, fault in sorted(loaded.faults.items()):
        yield red(
            f"{name} cannot be drawn: {fault.sentence}",
            f"correct {fault.file}, see docs/personas.md; then: imagegen personas reload",
        )
    for name, workflow in sorted(loaded.workflows.items()):
        if has_lora(workflow.graph) and not workflow.persona.trigger_words:
            yield yellow(
                f"{name} draws with a LoRA and has no trigger words, so it may look like anybody",
                f"write those with which the LoRA was trained into {workflow.persona_file}, as "
                "trigger_words",
            )
    if loaded.workflows:
        yield green(
            f"{len(loaded.workflows)} load and pass the screen: {', '.join(sorted(loaded.workflows))}"
        )
