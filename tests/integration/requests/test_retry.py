"""An operator's retry, and the worker that draws or sends once more; what a failure keeps."""

from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import Request
from chatflow_hook.tables import State
from imagegen.maintenance.image_cleanup import ImageCleanup
from imagegen.requests.retry import retry_request
from imagegen.sandbox.comfyui.faults.fault import Fault
from imagegen.sandbox.comfyui.faults.kinds import FaultKind
from imagegen.sandbox.telegram.faults import Trouble
from tests.support import command, conversations
from tests.support.aged_rows import SAID, AgedData
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct


async def retry(product: RunningProduct, request: Request) -> command.CommandResult:
    return await command.run(
        "requests",
        "retry",
        str(request.id),
        DATABASE_URL=product.settings.database_url.get_secret_value(),
        REDIS_URL=str(product.settings.redis_url and product.settings.redis_url.get_secret_value()),
        IMAGE_STORE=product.settings.image_store,
    )


async def test_a_send_that_was_given_up_is_made_with_the_picture_that_is_there(
    products: ProductFactory,
) -> None:
    async with products.start() as product:
        drop = Trouble.drop(is_accepted=True)
        product.telegram.script(drop, drop, method="sendPhoto")
        request = await product.ask()
        failed = await product.hook.wait(request, timeout=PATIENCE_S)

        ended = await retry(product, request)
        picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert (failed.state, failed.error_code) == (State.FAILED, "delivery_unknown")
        assert ended.stdout == f"{request.id}: drawn\n"
        assert picture.state is State.DELIVERED
        assert len(product.hosts[0].drawn) == 1
        assert (await conversations.dialog(product.sessions)).last_image_generation_at == 3


async def test_what_could_not_be_drawn_is_drawn(products: ProductFactory) -> None:
    async with products.start(comfyui_memory_retry=0.1) as product:
        # Twice at the first attempt, and once at each of the other two.
        product.hosts[0].script(Fault(kind=FaultKind.OUT_OF_MEMORY, times=4))
        request = await product.ask()
        failed = await product.hook.wait(request, timeout=PATIENCE_S)

        ended = await retry(product, request)
        picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert (failed.state, failed.error_code) == (State.FAILED, "out_of_memory")
        assert ended.stdout == f"{request.id}: queued\n"
        assert picture.state is State.DELIVERED
        assert (await conversations.row(product.sessions, request.id)).conversation is None


async def test_a_picture_that_the_request_lets_go_of_is_noted_for_the_clean_up(
    engine: AsyncEngine, sessions: Sessions, tmp_path: Path
) -> None:
    await conversations.put_dialog(sessions)
    aged_data = AgedData(engine, tmp_path)
    name = await aged_data.picture()
    request_id = await aged_data.row(State.FAILED, image=name, width=8, height=8, conversation=SAID)

    state = await retry_request(engine, None, request_id)

    assert state is State.QUEUED
    await ImageCleanup(engine, aged_data.images, settled_s=0).erase_noted()
    assert not aged_data.file(name).exists()


async def test_what_was_taken_from_another_request_and_is_drawn_now_counts_in_the_costs(
    engine: AsyncEngine, sessions: Sessions, tmp_path: Path
) -> None:
    await conversations.put_dialog(sessions)
    aged_data = AgedData(engine, tmp_path)
    request_id = await aged_data.row(
        State.FAILED, image="a.png", width=8, height=8, conversation=SAID, is_reused=True
    )

    await retry_request(engine, None, request_id)

    assert not (await conversations.row(sessions, request_id)).is_reused


async def test_without_context_retention_a_failure_keeps_nothing(products: ProductFactory) -> None:
    async with products.start(context_retention=0) as product:
        request = await product.ask(persona="nobody")
        await product.hook.wait(request, timeout=PATIENCE_S)

        ended = await retry(product, request)

        assert (await conversations.row(product.sessions, request.id)).conversation is None
        assert ended.code == 1
        assert "what people wrote was erased" in ended.stdout
