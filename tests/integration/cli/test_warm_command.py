"""`imagegen warm`: hosts load the models of personas ahead."""

import asyncio

from imagegen.sandbox.comfyui import SandboxComfyUI
from imagegen.sandbox.comfyui.faults.fault import Fault
from imagegen.sandbox.comfyui.faults.kinds import FaultKind
from imagegen.workflows.warm_graph import WARM_PROMPT
from tests.support import command
from tests.support.comfyui_client import connect_client
from tests.support.command import CommandResult
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, required_models

POOR = {**required_models(), "loras": ["other.safetensors"]}


async def warm(*arguments: str, hosts: str, **variables: str) -> CommandResult:
    return await command.run("warm", *arguments, COMFYUI_HOSTS=hosts, **variables)


async def test_each_host_loads_the_models_and_keeps_nothing() -> None:
    models = required_models()
    async with (
        SandboxComfyUI(models=models) as one,
        SandboxComfyUI(models=models) as two,
        connect_client(one.address) as client,
    ):
        result = await warm("--persona", "lina", "--json", hosts=f"{one.address},{two.address}")
        history = await client.get("/history")

    assert result.code == 0
    assert {(row["host"], row["state"], *row["personas"]) for row in result.json} == {
        (one.address, "loaded", "lina"),
        (two.address, "loaded", "lina"),
    }
    assert all(row["seconds"] is not None and row["why"] is None for row in result.json)
    assert f"{one.address} lina: loaded" in result.stderr
    assert history == {}
    [posted] = one.posted
    texts = [each["inputs"].get("text") for each in posted.graph.values()]
    assert WARM_PROMPT in texts


async def test_all_personas_are_loaded_one_after_the_other_on_the_named_host() -> None:
    models = required_models()
    async with SandboxComfyUI(models=models) as one, SandboxComfyUI(models=models) as two:
        result = await warm("--host", two.address, hosts=f"{one.address},{two.address}")

    assert result.code == 0
    assert one.posted == []
    assert len(two.account.loads) == len(two.posted) == len(result.stdout.splitlines()) - 1 > 1


async def test_a_host_without_the_files_is_left_out_and_one_that_is_down_is_a_fault() -> None:
    async with (
        SandboxComfyUI(models=required_models()) as well,
        SandboxComfyUI(models=POOR) as poor,
    ):
        fine = await warm("--persona", "lina", hosts=f"{well.address},{poor.address}")
        alone = await warm("--persona", "lina", hosts=poor.address)
        down = await warm("--persona", "lina", "--json", hosts=f"{well.address},127.0.0.1:1")

    assert (fine.code, alone.code, down.code) == (0, 1, 1)
    assert "cannot draw  -        LoraLoaderModelOnly has no lora_name" in fine.stdout
    assert poor.posted == []
    [failed] = [row for row in down.json if row["state"] == "failed"]
    assert "refuses the connection" in failed["why"]


async def test_a_host_that_a_worker_knows_to_be_warm_is_not_asked(
    products: ProductFactory,
) -> None:
    async with products.start() as product:
        await product.picture(persona="lina")
        [host], redis_url = product.hosts, product.settings.redis_url
        assert redis_url is not None
        async with asyncio.timeout(PATIENCE_S):
            while True:
                before = len(host.posted)
                result = await warm(
                    *("--persona", "lina", "--json"),
                    hosts=host.address,
                    REDIS_URL=redis_url.get_secret_value(),
                )
                if result.json[0]["state"] == "was loaded":
                    break

    assert (len(host.posted), result.code) == (before, 0)


async def test_a_graph_that_fails_in_its_smallest_form_is_drawn_in_full() -> None:
    async with SandboxComfyUI(models=required_models()) as host:
        host.script(Fault(kind=FaultKind.BAD_GPU))
        result = await warm("--persona", "lina", "--json", hosts=host.address)

    assert result.json[0]["state"] == "loaded"
    assert len(host.posted) == 2


async def test_what_takes_too_long_is_taken_off_the_host() -> None:
    async with (
        SandboxComfyUI(models=required_models()) as host,
        connect_client(host.address) as client,
    ):
        host.script(Fault(kind=FaultKind.STALL, seconds=PATIENCE_S))
        result = await warm("--persona", "lina", "--json", "--timeout", "1", hosts=host.address)
        queue = await client.get("/prompt")

    assert result.code == 1
    assert result.json[0]["why"] == "not loaded within 1 s"
    assert queue["exec_info"]["queue_remaining"] == 0


async def test_what_is_wrong_is_said_in_one_sentence() -> None:
    nobody = await warm("--persona", "nobody", hosts="127.0.0.1:1")
    address = await warm("--host", "no host", hosts="127.0.0.1:1")

    assert (nobody.code, address.code) == (2, 2)
    assert "There is no persona" in nobody.stderr
    assert "--host: 'no host' is no host:port" in address.stderr
