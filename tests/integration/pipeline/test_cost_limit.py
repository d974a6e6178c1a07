"""What pictures cost, and that no new one is drawn above the limit of a day."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, insert, update
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import Request
from chatflow_hook.tables import ImageRequest, State
from imagegen.metrics import HostPrices
from imagegen.pipeline.cost_limit import CostLimit, CostLimitReached
from imagegen.requests.costs import Costs
from tests.support import command, conversations
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

DAY = timedelta(days=1)
PRICES = HostPrices(others=3600.0, by_host={"gpu-2:8188": 7200.0})
# So dear that the first picture is above any limit.
DEAR: dict[str, Any] = {"host_price_per_hour": "1000000", "cost_limit_per_day": "0.01"}


async def drawn(
    sessions: Sessions,
    number: int,
    *,
    host: str = "gpu-1:8188",
    ended: timedelta = timedelta(hours=1),
    **values: Any,
) -> None:
    """Add a picture that took ten seconds, of the user 1000 + `number`, delivered so long ago."""
    usual = {
        "id": UUID(int=number),
        "kind": "asked",
        "state": State.DELIVERED,
        "dialog_id": number,
        "user_id": 1000 + number,
        "chat_id": 1000 + number,
        "persona": "lina",
        "message_count": 3,
        "host": host,
        "drawing_seconds": 10.0,
        "finished_at": func.clock_timestamp() - ended,
    }
    await conversations.put_dialog(sessions, number)
    async with sessions.begin() as session:
        await session.execute(insert(ImageRequest).values(usual | values))


@pytest.fixture
async def some_pictures(sessions: Sessions) -> None:
    await drawn(sessions, 1)
    await drawn(sessions, 2, host="gpu-2:8188", persona="ash")
    await drawn(sessions, 3, is_reused=True)
    await drawn(sessions, 4, ended=timedelta(days=2))


@pytest.mark.usefixtures("some_pictures")
async def test_pictures_cost_the_seconds_of_their_host(engine: AsyncEngine) -> None:
    costs = Costs(engine, PRICES)

    by_persona = {cost.name: (cost.pictures, cost.cost) for cost in await costs.by("persona", DAY)}
    by_user = {cost.name: cost.cost for cost in await costs.by("user", DAY)}

    assert by_persona == {"lina": (1, 10.0), "ash": (1, 20.0)}
    assert by_user == {"1001": 10.0, "1002": 20.0}
    assert await costs.total(DAY) == 30
    assert await costs.total(timedelta(days=3)) == 40


@pytest.mark.usefixtures("some_pictures")
async def test_the_command_shows_the_dearest_first(database_url: str) -> None:
    variables = {"DATABASE_URL": database_url, "HOST_PRICE_PER_HOUR": "3600,gpu-2=7200"}

    shown = await command.run("costs", "--days", "1", "--by", "user", **variables)
    for_programs = await command.run("costs", "--days", "3", "--by", "host", "--json", **variables)

    assert shown.stdout.splitlines() == [
        "user  pictures  hours  cost   each",
        "1002  1         0.00   20.00  20.0000",
        "1001  1         0.00   10.00  10.0000",
        "all   2         0.01   30.00  15.0000",
    ]
    assert [(one["name"], one["pictures"], one["cost"]) for one in for_programs.json] == [
        ("gpu-1:8188", 2, 20.0),
        ("gpu-2:8188", 1, 20.0),
    ]


@pytest.mark.usefixtures("some_pictures")
async def test_the_sum_is_kept_for_a_while_and_then_read_anew(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    now = 0.0
    limit = CostLimit(Costs(engine, PRICES), per_day=35, clock=lambda: now)
    await limit.check()
    await drawn(sessions, 5)
    await limit.check()

    now = 15.0
    with pytest.raises(CostLimitReached):
        await limit.check()
    async with sessions.begin() as session:
        await session.execute(update(ImageRequest).values(drawing_seconds=None))
    now = 30.0
    await limit.check()


async def test_above_the_limit_nothing_new_is_drawn_and_who_asked_is_told(
    products: ProductFactory, sessions: Sessions
) -> None:
    await drawn(sessions, 9)
    async with products.start(**DEAR) as product:
        automatic = await product.picture()
        request = await product.hook.ask(turn(dialog_id=2))
        assert isinstance(request, Request)
        asked = await product.hook.wait(request, timeout=PATIENCE_S)
        (told,) = await product.telegram.wait_for(1, timeout=PATIENCE_S)

    assert (automatic.state, automatic.error_code) == (State.FAILED, "cost_limit")
    assert (asked.state, asked.error_code) == (State.FAILED, "cost_limit")
    assert (
        asked.message == told.text == "There are no more pictures for now. Ask me again tomorrow."
    )
    assert product.hosts[0].posted == []
