"""Rows of the last hours, as a busy installation leaves them, for the status page."""

import math
import random
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert

from chatflow_hook.tables import Dialog, ImageRequest, State
from tests.support.aged_rows import SAID
from tests.support.conversations import Sessions

_PERSONAS = ("lina", "ash", "may", "stacy", "taya")
_FIRST_DIALOG = 9000
# How pictures end that do not come: error code, state, and in how many of a hundred rows.
_FAILURES = (
    ("out_of_memory", State.FAILED, 2),
    ("bot_blocked", State.FAILED, 1),
    ("too_old", State.EXPIRED, 1),
    ("minor_asked", State.REFUSED, 1),
)


async def last_hours(
    sessions: Sessions, image: str | None, *, count: int = 400, hours: float = 6, seed: int = 7
) -> None:
    """Insert requests that ended in the last hours, more of them and slower ones lately.

    `image` is the name of a stored image that all delivered ones have, None for none.
    """
    chance = random.Random(seed)
    rows = [_row(number, count, hours, image, chance) for number in range(count)]
    async with sessions.begin() as session:
        await session.execute(
            insert(Dialog), [{"id": row["dialog_id"], "message_count": 3} for row in rows]
        )
        for row in rows:
            await session.execute(insert(ImageRequest).values(**row))


def _row(
    number: int, count: int, hours: float, image: str | None, chance: random.Random
) -> dict[str, Any]:
    share = math.sqrt((number + 0.5) / count)
    ended_s = (1 - share) * hours * 3600
    took_s = chance.lognormvariate(2.3 + 1.2 * share**6, 0.45)
    code, state = _end(chance)
    is_delivered = state is State.DELIVERED
    return {
        "id": UUID(int=chance.getrandbits(128), version=4),
        "kind": "automatic" if number % 3 else "asked",
        "state": state,
        "dialog_id": _FIRST_DIALOG + number,
        "user_id": _FIRST_DIALOG + number,
        "chat_id": _FIRST_DIALOG + number,
        "persona": _PERSONAS[number % len(_PERSONAS)],
        "message_count": 3,
        "conversation": SAID if state is State.FAILED else None,
        "drawn_rating": "safe" if is_delivered else None,
        "image": image if is_delivered else None,
        "width": 832 if is_delivered else None,
        "height": 1216 if is_delivered else None,
        "error_code": code,
        "error_sentence": code and "as the sandbox tells it",
        "created_at": _ago(ended_s + took_s),
        "queued_at": _ago(ended_s + took_s),
        "updated_at": _ago(ended_s),
        "finished_at": _ago(ended_s),
    }


def _end(chance: random.Random) -> tuple[str | None, State]:
    number = chance.randrange(100)
    for code, state, percent in _FAILURES:
        number -= percent
        if number < 0:
            return code, state
    return None, State.DELIVERED


def _ago(seconds: float) -> Any:
    return func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, seconds)
