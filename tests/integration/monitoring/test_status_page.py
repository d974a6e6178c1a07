"""What the status page shows of a running worker, and what an operator changes on it."""

import asyncio
import json
from contextlib import AsyncExitStack
from io import BytesIO
from typing import Any
from uuid import UUID

from PIL import Image
from sqlalchemy import func, update
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import Request
from chatflow_hook.tables import ImageRequest, State
from imagegen.requests.pauses import Pauses, PauseScope
from tests.support import conversations, status_visit
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.product import ProductFactory
from tests.support.status_visit import READ_TOKEN, TOKEN

PRIVATE = ("marmalade", "quince", "woman", "photo of")
SAID: dict[str, Any] = {"text": "marmalade", "caption": "quince"}


def settings(port: int, **changes: Any) -> dict[str, Any]:
    return {"web_port": port, "status_token": TOKEN, "status_read_token": READ_TOKEN} | changes


def of_group(parts: dict[str, Any], code: str) -> dict[str, Any]:
    return next(each for each in parts["failures"]["groups"] if each["error_code"] == code)


def has_failed(parts: dict[str, Any], code: str) -> bool:
    groups = parts.get("failures", {"groups": []})["groups"]
    return any(each["error_code"] == code for each in groups)


async def test_it_shows_what_is_drawn_and_how_far_who_waits_and_why_and_what_failed(
    products: ProductFactory, engine: AsyncEngine
) -> None:
    held, port = asyncio.Event(), free_port()

    async def hold(_: float) -> None:
        await held.wait()

    await Pauses(engine).pause(PauseScope.PERSONA, "ash")
    async with (
        products.start(comfyui_slots_per_host=1, sleep=hold, **settings(port)) as product,
        status_visit.visiting(port, READ_TOKEN) as visit,
    ):
        drawn = await product.ask(dialog_id=1, **SAID)
        await visit.until(lambda parts: parts["hosts"][0]["draws"])
        waits = await product.ask(dialog_id=2, **SAID)
        paused = await product.ask(dialog_id=3, persona="ash", **SAID)
        fails = await product.ask(dialog_id=4, persona="nobody", **SAID)
        await product.hook.wait(fails, timeout=PATIENCE_S)

        def reasons(parts: dict[str, Any]) -> dict[str, str]:
            return {each["id"]: each["why"] for each in parts["queue"]["waiting"]}

        parts = await visit.until(
            lambda parts: (
                has_failed(parts, "unknown_persona")
                and "free slot" in reasons(parts).get(str(waits.id), "")
                and parts["workers"]
            )
        )
        way = await visit.json(f"requests/{drawn.id}")
        held.set()
        for request in (drawn, waits):
            await product.hook.wait(request, timeout=PATIENCE_S)
        delivered = await visit.until(lambda parts: parts["goal"]["delivered"] == 2)
        whole_way = await visit.json(f"requests/{drawn.id}")

    (host,) = parts["hosts"]
    assert [each["id"] for each in host["draws"]] == [str(drawn.id)]
    assert (host["condition"], host["taken"], host["slots"]) == ("up", 1, 1)
    assert reasons(parts)[str(paused.id)] == "the persona ash is paused"
    assert [(each["scope"], each["name"]) for each in parts["pauses"]] == [("persona", "ash")]
    failure = of_group(parts, "unknown_persona")
    assert (failure["count"], failure["retryable"]) == (1, 1)
    assert failure["what"].startswith("Add the persona")
    assert parts["outages"] == {}
    assert [each["slots"] for each in parts["workers"]] == [1]
    assert way["account"]["place"] in {"queued", "running"}
    assert sum(each["delivered"] for each in delivered["chart"]["buckets"]) == 2
    assert [each["outcome"] for each in whole_way["deliveries"]] == ["sent"]
    assert whole_way["row"]["state"] == "delivered"
    shown = json.dumps([parts, delivered, way, whole_way])
    assert not [word for word in PRIVATE if word in shown]


async def test_two_who_retry_a_group_at_once_retry_each_request_once_and_it_is_drawn(
    products: ProductFactory, sessions: Sessions
) -> None:
    port = free_port()
    async with products.start(works=False, **settings(port)) as product:
        await Pauses(_engine(sessions)).pause(PauseScope.KIND, "automatic")
        requests = [await product.ask(dialog_id=1 + n) for n in range(4)]
        await _fail(sessions, requests)

        async with product.worker(), status_visit.visiting(port) as visit:
            answers = await asyncio.gather(
                *(visit.post("retry", code="drawing_failed") for _ in "ab")
            )
            status, outcome = await visit.post(
                "pause", scope="kind", name="automatic", is_paused=False
            )
            ends = [await product.hook.wait(each, timeout=PATIENCE_S) for each in requests]
            nothing = await visit.post("retry", code="drawing_failed")

    counts = [
        int(answer["sentence"].partition(" ")[0])
        for _, answer in answers
        if answer["sentence"][0].isdigit()
    ]
    assert sum(counts) == 4
    assert (status, outcome["sentence"]) == (200, "The kind automatic goes on.")
    assert [end.state for end in ends] == [State.DELIVERED] * 4
    assert nothing[1] == {"sentence": "Nothing can be tried again.", "level": "refused"}


async def test_one_is_retried_and_what_cannot_be_retried_says_why(
    products: ProductFactory,
) -> None:
    port = free_port()
    async with (
        products.start(**settings(port)) as product,
        status_visit.visiting(port) as visit,
        status_visit.visiting(port, READ_TOKEN) as reader,
    ):
        request = await product.ask()
        await product.hook.wait(request, timeout=PATIENCE_S)

        delivered = await visit.post("retry", ids=[str(request.id)])
        unknown = await visit.post("retry", ids=[str(UUID(int=1))])
        no_order = await visit.post("retry", ids=["x"])
        no_kind = await visit.post("pause", scope="kind", name="loud", is_paused=True)
        by_reader = await reader.post("retry", ids=[str(request.id)])
        no_request = (
            (await visit.get(f"requests/{UUID(int=1)}"))[0],
            (await visit.get("requests/x"))[0],
        )

    assert delivered[1]["level"] == "refused"
    assert "it is delivered" in delivered[1]["sentence"]
    assert "there is no such request" in unknown[1]["sentence"]
    assert (no_order[0], no_kind[0], by_reader[0], no_request) == (400, 400, 403, (404, 404))
    assert "there is no kind loud" in no_kind[1]["error"]


async def test_pictures_are_shown_at_safe_only_and_to_those_who_have_signed_in(
    products: ProductFactory, sessions: Sessions
) -> None:
    port, open_port = free_port(), free_port()
    async with (
        products.start(longest_side=None, **settings(port)) as product,
        status_visit.visiting(port) as visit,
    ):
        request = await product.ask()
        await product.hook.wait(request, timeout=PATIENCE_S)
        address = f"pictures/{request.id}"
        name = (await conversations.row(sessions, request.id)).image

        parts = await visit.until(lambda parts: parts["pictures"])
        status, kind, data = await visit.get(address)
        _, _, blurred = await visit.get(f"{address}?blurred")
        async with status_visit.visiting(port, None) as stranger:
            without_login = (await stranger.get(address))[0]
        refused = []
        for change in (
            {"drawn_rating": "suggestive"},
            {"drawn_rating": "safe", "hidden_at": func.now()},
            {"hidden_at": None, "image": "0" * 64 + ".png"},
        ):
            await _change(sessions, request, **change)
            refused.append([(await visit.get(address + end))[0] for end in ("", "?blurred")])
        cancelled = {"state": "cancelled", "image": name, "reported_at": func.now()}
        await _change(sessions, request, **cancelled)
        reported = (await visit.get(address))[0]
        await _change(sessions, request, state="delivered", drawn_rating="suggestive")
        later = await visit.until(lambda parts: parts["reported"])

    assert [each["id"] for each in parts["pictures"]] == [str(request.id)]
    assert (status, kind) == (200, "image/png")
    with Image.open(BytesIO(data)) as image, Image.open(BytesIO(blurred)) as tiny:
        assert (max(tiny.size), max(image.size) > 500) == (12, True)
    assert without_login == 401
    # A blurred picture that was made before is kept under its name, but is not shown any more.
    assert refused == [[404, 404]] * 3
    assert reported == 200
    assert [each["has_picture"] for each in later["reported"]] == [False]
    assert later["pictures"] == []

    async with (
        products.start(web_port=open_port) as product,
        status_visit.visiting(open_port, None) as visit,
    ):
        await visit.until(lambda parts: parts["workers"])
        assert (visit.visitor["role"], visit.visitor["is_signed_in"]) == ("operator", False)
        assert (await visit.get(address))[0] == 403


async def test_a_database_that_is_away_is_told_and_the_rest_is_shown(
    products: ProductFactory, database_url: str
) -> None:
    port = free_port()
    wrong = make_url(database_url).set(password="wrong")
    async with (
        products.start(
            works=False,
            **settings(port, database_url=wrong.render_as_string(hide_password=False)),
        ) as product,
        product.worker(),
        status_visit.visiting(port) as visit,
    ):
        parts = await visit.until(lambda parts: parts["outages"] and parts["workers"])
        refused = await visit.post("pause", scope="persona", name="lina", is_paused=True)
        no_request = (await visit.get(f"requests/{UUID(int=1)}"))[0]

    assert "28P01" in parts["outages"]["postgresql"]
    assert parts["queue"] is None
    assert [host["condition"] for host in parts["hosts"]] == ["up"]
    assert (refused[0], no_request) == (503, 503)


async def test_a_drained_host_gets_nothing_new_until_it_is_resumed(
    products: ProductFactory,
) -> None:
    port = free_port()
    async with products.start(**settings(port)) as product, status_visit.visiting(port) as visit:
        (host,) = (await visit.until(lambda parts: parts["hosts"]))["hosts"]
        drained = await visit.post("pause", scope="host", name=host["name"], is_paused=True)
        await visit.until(lambda parts: parts["hosts"][0]["use"] == "draining")
        request = await product.ask()
        waits = await product.hook.wait(request, timeout=1)
        resumed = await visit.post("pause", scope="host", name=host["name"], is_paused=False)
        ended = await product.hook.wait(request, timeout=PATIENCE_S)
        unknown = await visit.post("pause", scope="host", name="nowhere:1", is_paused=True)

    assert (drained[0], resumed[0], unknown[0]) == (200, 200, 400)
    assert waits.state is State.QUEUED
    assert ended.state is State.DELIVERED


async def test_somebody_who_looks_does_not_hold_up_the_end_of_the_worker(
    products: ProductFactory,
) -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        async with products.start(**settings(port)):
            visit = await stack.enter_async_context(status_visit.visiting(port))
            looks = asyncio.create_task(visit.until(lambda _: False))
            async with asyncio.timeout(PATIENCE_S):
                while not visit.parts:  # noqa: ASYNC110 (what came gives no event)
                    await asyncio.sleep(0.02)
        ended, _ = await asyncio.wait({looks}, timeout=PATIENCE_S / 2)

    assert ended == {looks}
    assert looks.exception() is not None


def _engine(sessions: Sessions) -> AsyncEngine:
    engine: AsyncEngine = sessions.kw["bind"]
    return engine


async def _fail(sessions: Sessions, requests: list[Request]) -> None:
    for request in requests:
        await _change(
            sessions,
            request,
            state=State.FAILED,
            error_code="drawing_failed",
            finished_at=func.clock_timestamp(),
        )


async def _change(sessions: Sessions, request: Request, **values: object) -> None:
    async with sessions.begin() as session:
        query = update(ImageRequest).where(ImageRequest.id == request.id)
        await session.execute(query.values(**values))
