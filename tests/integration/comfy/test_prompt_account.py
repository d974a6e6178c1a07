"""What a host tells of a prompt: where it is and when it began and ended, without its words."""

import pytest

from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.support.comfyui_client import MODELS, persona_graph
from tests.support.prompt_execution import PROMPT, client, draw


@pytest.mark.parametrize("version", ["0.33", "0.3.64"])
async def test_a_prompt_that_has_ended_has_its_events_and_an_unknown_one_none(version: str) -> None:
    sandbox = SandboxComfyUI(version=version, models=MODELS)
    async with sandbox, client(sandbox.address) as host:
        unknown = await host.account(PROMPT)
        await draw(host, persona_graph(size=(64, 64)))
        ended = await host.account(PROMPT)

    assert (unknown.place, unknown.events) == ("unknown", ())
    assert ended.place == "ended"
    names = [event.name for event in ended.events]
    assert (names[0], names[-1]) == ("execution_start", "execution_success")
    assert all(event.at is not None for event in ended.events)
    assert "балконе" not in str(ended)
