"""docs/sandbox.md: its faults exist, its example runs."""

import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectionError

from imagegen.sandbox.comfyui import Fault, FaultKind
from imagegen.sandbox.comfyui.faults.kinds import MEANINGS
from tests.support.comfyui_client import connect_client, graph_without_model

PAGE = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def rows() -> dict[str, set[str]]:
    """Give the parameters that the page names, by fault."""
    named = re.findall(r"^\| `([a-z-]+)`(?: \((.*?)\))? \| .* \| .* \|$", PAGE, flags=re.MULTILINE)
    return {
        kind: set(re.findall(r"`(\w+)`", said)) for kind, said in named if kind in set(FaultKind)
    }


def test_every_fault_is_on_the_page_with_its_parameters() -> None:
    assert rows() == {kind: set(meaning.takes) for kind, meaning in MEANINGS.items()}


@pytest.mark.parametrize("text", re.findall(r"--fault (\S+)", PAGE))
def test_a_fault_in_an_example_can_be_read(text: str) -> None:
    assert Fault.parse(text)


async def draws(address: str) -> None:
    """Post a prompt and lose the answer, as the example is about."""
    prompt_id = "7f3a2c1e-5b0d-5c7e-9d58-0b1e64a7c0de"
    async with connect_client(address) as client:
        with pytest.raises(ClientConnectionError):
            await client.post(graph_without_model(1), prompt_id=prompt_id)
        await client.wait_for_end(prompt_id)


async def test_the_example_runs() -> None:
    assert EXAMPLE is not None
    names: dict[str, Any] = {"my_client_draws": draws}
    exec(EXAMPLE[1], names)  # noqa: S102 it is our own page

    await names["test_a_lost_answer_is_not_posted_again"]()
