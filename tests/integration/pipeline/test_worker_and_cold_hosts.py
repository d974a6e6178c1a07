"""The worker and hosts that have to load their models first."""

from typing import Any

from chatflow_hook.tables import State
from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.support.product import ProductFactory, RunningProduct

# Longer than the limits by more than a busy machine may take for what is drawn afterwards.
LOADING_S, LIMIT_S = 2.5, 1.5


async def test_a_load_of_models_is_no_slow_drawing(products: ProductFactory) -> None:
    limits: dict[str, Any] = {"generation_timeout": LIMIT_S, "comfyui_silence_timeout": LIMIT_S}
    async with products.start(hosts=2, works=False, **limits) as product:
        await _make_cold(product)
        async with product.worker():
            picture = await product.picture()

    assert picture.state is State.DELIVERED
    assert len(_posted(product)) == 1


async def test_a_prompt_whose_models_load_too_long_goes_back_to_the_same_host(
    products: ProductFactory,
) -> None:
    async with products.start(hosts=2, works=False, comfyui_loading_timeout=LIMIT_S) as product:
        await _make_cold(product)
        async with product.worker():
            picture = await product.picture()

    assert picture.state is State.DELIVERED
    assert len(_posted(product)) == 2
    assert len({host for host, _ in _posted(product)}) == 1


async def _make_cold(product: RunningProduct) -> None:
    for host in product.hosts:
        await host.kill()
        host.model_load_seconds = LOADING_S
        await host.start()


def _posted(product: RunningProduct) -> list[tuple[SandboxComfyUI, str]]:
    return [(host, prompt.prompt_id) for host in product.hosts for prompt in host.posted]
