"""What operators hold back on purpose: pauses, and the limit of what a day may cost."""

import asyncio

from imagegen.db.engine import connect
from imagegen.doctor.finding import Findings, green, red, yellow
from imagegen.errors import Unavailable
from imagegen.pipeline.cost_limit import CostLimit
from imagegen.requests.costs import Costs
from imagegen.requests.pauses import Pauses
from imagegen.settings import CostSettings, DatabaseSettings


async def check(database: DatabaseSettings, costs: CostSettings, *, timeout_s: float) -> Findings:
    """Yield each pause with the command that ends it, and whether COST_LIMIT_PER_DAY is reached."""
    engine = connect(database.database_url, pool_size=1, command_timeout_s=timeout_s)
    limit = CostLimit(Costs(engine, costs.host_price_per_hour), per_day=costs.cost_limit_per_day)
    try:
        async with asyncio.timeout(timeout_s):
            pauses = await Pauses(engine).all()
            why_reached = await limit.why_reached()
    except (Unavailable, TimeoutError):
        yield yellow(
            "nobody knows what is paused, since PostgreSQL does not tell", "see postgresql"
        )
        return
    finally:
        await engine.dispose()
    if why_reached is not None:
        yield red(
            f"no new picture is drawn: {why_reached}",
            "raise COST_LIMIT_PER_DAY and restart the workers, or wait",
        )
    for pause in pauses:
        yield yellow(pause.sentence, pause.how_to_resume)
    if not pauses and why_reached is None:
        yield green("nothing is paused, and no limit of costs is reached")
