"""What the hook tells a bot's observer: each turn, what people asked for, and whom it told."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import Button, ChatFlowHook
from chatflow_hook.metrics import HookCounters, HookMetrics, TurnOutcome, prometheus_metrics
from chatflow_hook.sync import SyncChatFlowHook
from chatflow_hook.tables import State
from tests.support import conversations
from tests.support.aged_rows import AgedData
from tests.support.conversations import Sessions, turn
from tests.support.documented_metrics import base_name, labels_by_metric
from tests.support.patience import PATIENCE_S

OpenHook = Callable[[HookMetrics], AbstractAsyncContextManager[ChatFlowHook]]


@pytest.fixture
def open_hook(database_url: str, redis_url: str) -> OpenHook:
    """Return what opens a hook that tells an observer; users may ask for one picture a minute."""
    settings = conversations.hook_settings(database_url, redis_url, asked_images_per_minute=1)

    @asynccontextmanager
    async def opened(metrics: HookMetrics) -> AsyncIterator[ChatFlowHook]:
        async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S, metrics=metrics) as hook:
            yield hook

    return opened


async def use(hook: ChatFlowHook) -> None:
    """Write three turns, of which the last brings a picture, and ask for two more pictures."""
    for _ in range(3):
        await hook.on_turn(turn())
    await hook.ask(turn(dialog_id=2))
    await hook.ask(turn(dialog_id=4, user_id=1002))
    await hook.on_turn(turn(dialog_id=3, message_count=0))


async def test_turns_and_pictures_are_counted_in_plain_numbers(open_hook: OpenHook) -> None:
    counters = HookCounters()
    async with open_hook(counters) as hook:
        await use(hook)

    assert counters.turns == {
        TurnOutcome.COUNTED: 2,
        TurnOutcome.REQUESTED: 1,
        TurnOutcome.FAILED: 1,
    }
    assert counters.turn_seconds > 0
    assert (counters.asked_pictures, counters.limited_pictures) == (2, 1)
    assert (counters.told_requests, counters.untold_requests) == (2, 0)


async def test_another_picture_by_a_button_is_counted_too(
    open_hook: OpenHook, engine: AsyncEngine, tmp_path: Path
) -> None:
    rows = AgedData(engine, tmp_path / "images")
    scene = {"source": "template"}
    first, second = [await rows.row(State.DELIVERED, scene=scene) for _ in range(2)]
    another, of_second = Button.ANOTHER.data(first), Button.ANOTHER.data(second)
    counters = HookCounters()
    async with open_hook(counters) as hook:
        for data in (another, another, of_second, Button.HIDE.data(second)):
            await hook.on_button(data, user_id=1001, chat_id=1001)

    assert (counters.asked_pictures, counters.limited_pictures) == (2, 1)


async def test_a_turn_in_the_bots_session_is_counted_too(
    open_hook: OpenHook, sessions: Sessions
) -> None:
    counters = HookCounters()
    async with open_hook(counters) as hook, sessions.begin() as session:
        await hook.on_turn(turn(), session)

    assert counters.turns == {TurnOutcome.COUNTED: 1}


async def test_they_are_counted_for_prometheus_as_documented(open_hook: OpenHook) -> None:
    registry = CollectorRegistry()
    async with open_hook(prometheus_metrics(registry)) as hook:
        await use(hook)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"chatflow_hook_{name}", labels)

    assert value("turns_total", outcome="counted") == 2
    assert value("turn_seconds_count") == 4
    assert value("asked_total", answer="limited") == 1
    assert value("requests_total", worker="told") == 2
    shown = {
        base_name(sample.name): frozenset(sample.labels) - {"le"}
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    assert shown == labels_by_metric("chatflow_hook_")


async def test_an_observer_that_raises_keeps_no_picture_from_anybody(open_hook: OpenHook) -> None:
    class Broken(HookCounters):
        def turn(self, outcome: TurnOutcome, seconds: float) -> None:
            raise RuntimeError(outcome, seconds)

    async with open_hook(Broken()) as hook:
        requests = [await hook.on_turn(turn()) for _ in range(3)]

    assert [request is not None for request in requests] == [False, False, True]


def test_a_synchronous_hook_counts_as_well(database_url: str, redis_url: str) -> None:
    counters = HookCounters()
    settings = conversations.hook_settings(database_url, redis_url)
    with SyncChatFlowHook(settings, turn_timeout_s=PATIENCE_S, metrics=counters) as hook:
        hook.on_turn(turn())

    assert counters.turns == {TurnOutcome.COUNTED: 1}
