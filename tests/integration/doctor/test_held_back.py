"""What the doctor says of pauses and of the limit of costs, and that /readyz says it too."""

from sqlalchemy.ext.asyncio import AsyncEngine

from imagegen.doctor import held_back
from imagegen.doctor.finding import Findings, Level
from imagegen.metrics import HostPrices
from imagegen.pipeline.cost_limit import CostLimit
from imagegen.pipeline.pause_gate import PauseGate
from imagegen.requests.costs import Costs
from imagegen.requests.pauses import Pauses, PauseScope
from imagegen.settings import CostSettings, DatabaseSettings
from tests.support import doctor

PRICES = HostPrices(others=1.0, by_host={})


async def test_nothing_held_back_is_green(database_url: str) -> None:
    (finding,) = await doctor.found(lambda: check(database_url))

    assert finding.level is Level.GREEN


async def test_a_pause_is_told_with_the_command_that_ends_it(
    database_url: str, engine: AsyncEngine
) -> None:
    pauses = Pauses(engine)
    await pauses.pause(PauseScope.KIND, "asked")
    await pauses.pause(PauseScope.PERSONA, "the twins")
    gate = PauseGate(pauses, max_age_s=0)
    await gate.step()

    kind, persona = await doctor.troubles(lambda: check(database_url))

    assert (kind.level, kind.sentence) == (Level.YELLOW, "the kind asked is paused")
    assert kind.advice == "imagegen resume --kind asked"
    assert persona.advice == "imagegen resume --persona 'the twins'"
    assert await gate.why_held() == (
        "the kind asked is paused: `imagegen resume --kind asked`; "
        "the persona the twins is paused: `imagegen resume --persona 'the twins'`"
    )


async def test_a_limit_that_is_reached_is_red(database_url: str, engine: AsyncEngine) -> None:
    finding = await doctor.trouble(lambda: check(database_url, limit=0.0))

    assert finding.level is Level.RED
    assert "cost 0.00, and COST_LIMIT_PER_DAY is 0" in finding.sentence
    assert "raise COST_LIMIT_PER_DAY" in (finding.advice or "")
    assert await CostLimit(Costs(engine, PRICES), per_day=1.0).why_reached() is None


async def test_a_database_that_is_away_is_told_by_its_own_subject() -> None:
    finding = await doctor.trouble(lambda: check("postgresql://127.0.0.1:1/none"))

    assert (finding.level, finding.advice) == (Level.YELLOW, "see postgresql")


def check(database_url: str, *, limit: float | None = None) -> Findings:
    costs = CostSettings.model_construct(host_price_per_hour=PRICES, cost_limit_per_day=limit)
    database = DatabaseSettings(_env_file=None, database_url=database_url)
    return held_back.check(database, costs, timeout_s=doctor.TIMEOUT_S)
