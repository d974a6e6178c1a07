"""An age that is revoked while a worker process is about to send: nothing above safe is sent."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from chatflow_hook import Rating
from chatflow_hook.tables import State
from imagegen.db.tables import SafetyAuditEntry
from imagegen.sandbox.telegram import Trouble
from tests.support import conversations, worker_killed_at
from tests.support.conversations import Sessions
from tests.support.product import ProductFactory
from tests.support.worker_killed_at import STEP_S

ANN = 1001
BEFORE_THE_SEND = "imagegen/pipeline/deliver.py:_send"
AFTER_A_SEND = "imagegen/pipeline/deliver.py:_outcome"
UNREADABLE = Trouble.refused(400, "Bad Request: IMAGE_PROCESS_FAILED")


@dataclass(frozen=True, kw_only=True)
class Race:
    """Where the worker stands still while the age is revoked, and how the request ends then."""

    place: str
    troubles: Sequence[Trouble] = ()
    state: State = State.REFUSED
    code: str = "rating_withdrawn"


RACES = {
    "before the send": Race(place=BEFORE_THE_SEND),
    "another form": Race(place=AFTER_A_SEND, troubles=[UNREADABLE]),
    "flood wait": Race(place=AFTER_A_SEND, troubles=[Trouble.flood(1)]),
    "second send": Race(
        place=AFTER_A_SEND,
        troubles=[Trouble.drop()],
        state=State.FAILED,
        code="delivery_unknown",
    ),
}


@pytest.mark.timeout(200)
@pytest.mark.parametrize("race", RACES.values(), ids=RACES)
async def test_an_age_that_is_revoked_just_before_a_send_stops_it(
    products: ProductFactory, sessions: Sessions, tmp_path: Path, race: Race
) -> None:
    async with products.start(works=False, max_rating="suggestive") as product:
        await product.hook.confirm_age(ANN)
        product.telegram.script(*race.troubles, method="sendPhoto")
        request = await product.ask(rating=Rating.SUGGESTIVE)
        async with worker_killed_at.interrupted(
            signal.SIGSTOP, race.place, product, tmp_path / "home", MAX_RATING="suggestive"
        ) as worker:
            await worker.wait_until_stopped(timeout_s=STEP_S)
            await product.hook.revoke_age(ANN)

            worker.ask_to_stop(signal.SIGCONT)
            picture = await product.hook.wait(request, timeout=STEP_S)

    assert (picture.state, picture.error_code) == (race.state, race.code)
    assert product.telegram.sent == []
    row = await conversations.row(sessions, request.id)
    assert (row.drawn_rating, row.image) == ("suggestive", None)
    async with sessions() as session:
        (note,) = (await session.execute(select(SafetyAuditEntry))).scalars()
    assert (note.stage, note.rule, note.verdict) == ("delivery", "rating_withdrawn", "refused")
