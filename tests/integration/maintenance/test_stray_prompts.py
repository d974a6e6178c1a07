"""Prompts that nobody waits for, and that are taken off their hosts."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from imagegen.maintenance.stray_prompts import StrayCleanup
from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.support.comfyui_client import connect_client, graph_without_model
from tests.support.prompt_execution import PROMPT, client, draw


async def test_a_prompt_that_belongs_to_no_request_is_taken_off_its_host(
    engine: AsyncEngine,
) -> None:
    strays = StrayCleanup(engine)
    async with (
        SandboxComfyUI() as sandbox,
        client(sandbox.address) as host,
        connect_client(sandbox.address) as other,
    ):
        await draw(host, graph_without_model(1))
        for _ in range(2):
            await strays.add(UUID(PROMPT), host.name)

        await strays.remove_from(host)

        assert await other.get("/history") == {}
    # Listed for a while: a POST that is under way may still arrive.
    assert [each.prompt_id for each in await strays.strays_on(host.name)] == [UUID(PROMPT)]
