"""What a real worker shows Prometheus."""

import asyncio
import time
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from chatflow_hook.tables import State
from imagegen.db.tables import Delivery, SendOutcome
from imagegen.metrics import PictureStage
from imagegen.monitoring.readings import read_open_requests
from imagegen.pool.host_orders import HostOrders
from imagegen.requests.covers import Covers
from imagegen.requests.pauses import Pauses, PauseScope
from imagegen.sandbox.telegram import Trouble
from imagegen.storage.filesystem import directory_of
from tests.support import store_outage
from tests.support.conversations import Sessions
from tests.support.database_proxy import proxy_to
from tests.support.documented_metrics import base_name, labels_by_metric
from tests.support.http_probe import BOUND_S, Prober
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.product import ProductFactory, required_models
from tests.support.scraped_metrics import scrape, scrape_started

HELD = ("waiting", "prompt", "slot", "host_queue", "drawing", "fetch", "store", "deliver", "whole")


async def test_a_picture_is_counted_with_each_stage_of_its_way(products: ProductFactory) -> None:
    port = free_port()
    async with products.start(web_port=port, seconds_per_picture=0.3) as product:
        request = await product.ask(persona="Lina", text="a secret of mine")
        await product.hook.wait(request, timeout=PATIENCE_S)
        page = await scrape(port)
        host = product.settings.comfyui_hosts[0].name

    delivered = page.value(
        "imagegen_requests_total", kind="automatic", persona="lina", end="delivered"
    )
    assert delivered == 1
    assert [page.value("imagegen_stage_seconds_count", stage=stage) for stage in HELD] == [1.0] * 9
    assert (page.value("imagegen_stage_seconds_sum", stage="drawing") or 0) >= 0.2
    assert (page.value("imagegen_gpu_busy_seconds_total", host=host) or 0) >= 0.3
    assert page.value("imagegen_host_prompts_total", host=host, end="drawn") == 1
    assert page.value("imagegen_sends_total", outcome="sent") == 1
    label_values = {value for _, labels in page.values for _, value in labels}
    assert label_values.isdisjoint({"1001", "1", str(request.id)})
    assert "secret of mine" not in page.text


async def test_the_state_of_worker_hosts_and_queue_is_read_when_it_is_asked_for(
    products: ProductFactory,
) -> None:
    port = free_port()
    async with products.start(hosts=2, web_port=port) as product:
        page = await scrape_started(port)
        hosts = [host.name for host in product.settings.comfyui_hosts]

    assert page.value("imagegen_ready") == 1
    assert page.value("imagegen_check_ok", check="postgresql") == 1
    assert page.value("imagegen_queue_depth", state="queued") == 0
    assert page.value("imagegen_queue_oldest_seconds") == 0
    assert (page.value("imagegen_store_free_bytes") or 0) > 0
    for host in hosts:
        assert page.value("imagegen_host_state", host=host, state="up") == 1
        assert page.value("imagegen_host_slots", host=host) == 2
        assert page.value("imagegen_host_foreign_prompts", host=host) == 0
        total = page.value("imagegen_host_vram_total_bytes", host=host, device="0")
        assert total == page.value("imagegen_host_vram_free_bytes", host=host, device="0")


async def test_personas_that_no_host_can_draw_are_told_by_probe_and_metrics(
    products: ProductFactory,
) -> None:
    port = free_port()
    models = required_models()
    some = {**models, "loras": [name for name in models["loras"] if "lina" not in name]}
    async with products.start(web_port=port, models=some):
        page = await scrape_started(port)
        answer = await Prober(port).get("/readyz")
    async with products.start(web_port=port, models={}) as product:
        missing = await Prober(port).until_missing("personas", timeout_s=PATIENCE_S)

    assert page.value("imagegen_check_ok", check="personas") == 0
    assert page.value("imagegen_ready") == 1
    assert answer.status == 200
    assert answer.body["warnings"]["personas"].startswith("lina cannot be drawn: ")
    assert product.settings.comfyui_hosts[0].name in missing.body["missing"]["personas"]


async def test_a_store_that_fails_is_told_and_the_worker_stays_ready(
    products: ProductFactory,
) -> None:
    port = free_port()
    async with products.start(web_port=port) as product:
        store = directory_of(product.settings.image_store)
        with store_outage.unusable(store):
            page = await scrape_started(port)
            answer = await Prober(port).get("/readyz")
            picture = await product.picture()

    assert page.value("imagegen_check_ok", check="store") == 0
    assert page.value("imagegen_ready") == 1
    assert (answer.status, answer.missing) == (200, set())
    assert answer.body["warnings"]["store"].startswith(f"{store} takes no picture: ")
    assert picture.state is State.DELIVERED


async def test_requests_that_wait_are_the_queue(products: ProductFactory) -> None:
    async def never(_: float) -> None:
        await asyncio.Event().wait()

    port = free_port()
    async with products.start(works=False, sleep=never, web_port=port) as product:
        await product.ask()
        await product.ask(dialog_id=2)
        async with product.worker(is_interrupted=True):
            page = await scrape_started(port)

    assert sum(page.labelled("imagegen_queue_depth").values()) == 2
    assert (page.value("imagegen_queue_oldest_seconds") or 0) > 0


async def test_nobody_waits_for_what_is_paused_or_drawn_ahead(
    products: ProductFactory, engine: AsyncEngine
) -> None:
    pauses = Pauses(engine)
    async with products.start(works=False) as product:
        await product.ask(persona="lina")
        await Covers(engine).order(["ash"], 1)
        await pauses.pause(PauseScope.PERSONA, "lina")
        paused = await read_open_requests(engine)
        await pauses.resume(PauseScope.PERSONA, "lina")
        resumed = await read_open_requests(engine)

    assert {state: count for state, count in paused.counts.items() if count} == {
        "queued": 1,
        "paused": 1,
    }
    assert paused.oldest_s == 0
    assert (resumed.counts["queued"], resumed.counts["paused"]) == (2, 0)
    assert resumed.oldest_s > 0


async def test_a_host_that_is_drained_is_not_told_as_down(
    products: ProductFactory, engine: AsyncEngine
) -> None:
    port = free_port()
    async with products.start(web_port=port) as product:
        host = product.settings.comfyui_hosts[0].name
        await HostOrders(engine).drain(host)
        await product.hosts[0].kill()
        async with asyncio.timeout(PATIENCE_S):
            page = await scrape_started(port)
            while page.value("imagegen_host_state", host=host, state="draining") != 1:
                await asyncio.sleep(0.05)
                page = await scrape(port)

    states = page.labelled("imagegen_host_state")
    assert sum(states.values()) == 1


async def test_two_workers_in_one_process_count_their_own(products: ProductFactory) -> None:
    ports = free_port(), free_port()
    async with products.start(web_port=ports[0]) as product:
        await product.picture()
        other = replace(
            product, settings=product.settings.model_copy(update={"web_port": ports[1]})
        )
        async with other.worker():
            pages = [await scrape_started(port) for port in ports]

    sent = [page.value("imagegen_sends_total", outcome="sent") for page in pages]
    assert sent == [1, 0]


async def test_what_fails_is_counted_by_its_code(products: ProductFactory) -> None:
    port = free_port()
    async with products.start(web_port=port) as product:
        await product.picture(persona="nobody")
        await product.picture(dialog_id=2, persona="x" * 60)
        product.telegram.block(1003)
        await product.picture(dialog_id=3)
        page = await scrape(port)

    of_kind = {"kind": "automatic", "end": "failed"}
    assert page.value("imagegen_requests_total", persona="other", **of_kind) == 2
    assert page.value("imagegen_requests_total", persona="lina", **of_kind) == 1
    assert page.value("imagegen_failures_total", code="unknown_persona") == 2
    assert page.value("imagegen_failures_total", code="bot_blocked") == 1
    assert page.value("imagegen_sends_total", outcome="refused") == 1


async def test_a_send_that_may_have_arrived_and_its_repetition_are_counted(
    products: ProductFactory,
) -> None:
    port = free_port()
    async with products.start(web_port=port) as product:
        product.telegram.script(Trouble.drop(is_accepted=True), method="sendPhoto")
        await product.picture()
        page = await scrape(port)

    assert page.value("imagegen_sends_total", outcome="unknown") == 1
    assert page.value("imagegen_sends_total", outcome="sent") == 1
    assert page.value("imagegen_resends_total") == 1


async def test_a_picture_that_is_in_the_chat_already_is_counted_without_a_time(
    products: ProductFactory, sessions: Sessions
) -> None:
    port = free_port()
    async with products.start(works=False, web_port=port) as product:
        request = await product.ask()
        sent = Delivery(request_id=request.id, attempt=1, outcome=SendOutcome.SENT, message_id=77)
        async with sessions.begin() as session:
            session.add(sent)
        async with product.worker():
            await product.hook.wait(request, timeout=PATIENCE_S)
            page = await scrape(port)

    delivered = page.value(
        "imagegen_requests_total", kind="automatic", persona="lina", end="delivered"
    )
    assert delivered == 1
    assert not page.value("imagegen_stage_seconds_count", stage="whole")


async def test_pauses_that_telegram_demands_are_counted(products: ProductFactory) -> None:
    port = free_port()
    async with products.start(web_port=port) as product:
        product.telegram.script(Trouble.flood(1), method="sendPhoto")
        await product.picture()
        page = await scrape(port)

    assert page.value("imagegen_flood_waits_total") == 1
    assert page.value("imagegen_flood_wait_seconds_total") == 1


async def test_a_database_that_is_silent_holds_up_no_scrape(
    products: ProductFactory, database_url: str
) -> None:
    port = free_port()
    async with (
        proxy_to(database_url) as (proxy, url),
        products.start(web_port=port, database_url=url),
    ):
        before = await scrape_started(port)
        proxy.silence()
        began = time.monotonic()
        pages = await asyncio.gather(*(scrape(port) for _ in range(5)))
        elapsed_s = time.monotonic() - began
        proxy.resume()

    assert before.value("imagegen_queue_depth", state="queued") == 0
    assert [page.value("imagegen_slot_waiters") for page in pages] == [0] * 5
    assert elapsed_s < BOUND_S


async def test_a_delivered_picture_has_the_seconds_of_its_stages_in_the_log(
    products: ProductFactory,
) -> None:
    with capture_logs() as logged:
        async with products.start() as product:
            await product.picture()

    (line,) = [line for line in logged if line["event"] == "picture delivered"]
    stages = list(line["stages"])
    assert stages == [stage.value for stage in PictureStage if stage.value in stages]
    assert {"waiting", "prompt", "slot", "host_queue", "drawing", "fetch", "store", "deliver"} <= {
        *stages
    }


async def test_the_table_of_the_docs_is_what_a_worker_shows(products: ProductFactory) -> None:
    port = free_port()
    async with products.start(
        web_port=port, host_price_per_hour="1", cost_limit_per_day="100"
    ) as product:
        await product.picture()
        await product.picture(dialog_id=2, persona="nobody")
        await product.picture(dialog_id=3, text="we are both 12 years old and naked")
        await product.picture(dialog_id=4, prompt="naked at the lake")
        page = await scrape_started(port)

    documented = labels_by_metric("imagegen_")
    of_process = {name for name in page.metrics if name.startswith("process_")}
    assert {name for name in page.metrics if not name.endswith("_created")} - of_process == {
        *documented
    }
    shown: dict[str, set[str]] = {}
    for name, labels in page.values:
        shown.setdefault(base_name(name), set()).update(label for label, _ in labels)
    assert {name: shown[name] - {"le"} for name in documented if name in shown} == {
        name: labels for name, labels in documented.items() if name in shown
    }
    never_shown = {name for name in documented if name not in shown}
    assert never_shown <= {
        "imagegen_host_gpu_utilisation_ratio",
        "imagegen_host_warmings_total",
        "imagegen_refusals_total",
        "imagegen_retries_total",
    }
