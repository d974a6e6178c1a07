"""A dialog never has the same caption of its persona twice in a row."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from chatflow_hook.tables import ImageRequest, State
from imagegen.requests.repository import RequestRepository
from tests.integration.requests.conftest import ANNA
from tests.support import conversations, request_steps
from tests.support.conversations import Sessions

_ONE, _TWO = "This is my day.", "What do you think?"
_IN_CHAT = {"state": State.DELIVERED, "persona_caption": _ONE}


async def put_requests(sessions: Sessions, *rows: dict[str, Any]) -> None:
    """Add requests of the dialog, each of which has ended a minute after the one before."""
    now = datetime.now(UTC)
    ends = [now - timedelta(minutes=len(rows) - number) for number in range(len(rows))]
    usual = {"kind": "asked", "dialog_id": 1, "user_id": ANNA, "chat_id": ANNA, "persona": "lina"}
    async with sessions.begin() as session:
        session.add_all(
            ImageRequest(
                **{
                    **usual,
                    "id": UUID(int=10 + number),
                    "message_count": 1,
                    "updated_at": ended_at,
                    "finished_at": ended_at,
                    **row,
                }
            )
            for number, (row, ended_at) in enumerate(zip(rows, ends, strict=True))
        )


async def caption(
    requests: RequestRepository, request_id: UUID, captions: Sequence[str]
) -> str | None:
    request = await request_steps.claimed(requests, request_id)
    return await requests.choose_caption(request, captions, chance=random.Random(7))


@pytest.mark.parametrize(
    "ended",
    [
        {"state": State.CANCELLED},
        {"state": State.FAILED, "error_code": "out_of_memory"},
        {"state": State.REFUSED, "error_code": "minor"},
        {"state": State.EXPIRED, "error_code": "too_old"},
    ],
    ids=lambda ended: ended["state"].value,
)
async def test_a_caption_that_nobody_has_seen_does_not_count(
    requests: RequestRepository, sessions: Sessions, request_id: UUID, ended: dict[str, Any]
) -> None:
    await put_requests(sessions, _IN_CHAT, {**ended, "persona_caption": _TWO})

    assert await caption(requests, request_id, [_ONE, _TWO]) == _TWO


@pytest.mark.parametrize(
    "ended",
    [
        {"state": State.DELIVERED},
        {"state": State.FAILED, "error_code": "delivery_unknown"},
        {"state": State.CANCELLED, "telegram_message_id": 77},
    ],
    ids=["delivered", "perhaps delivered", "arrived after it was cancelled"],
)
async def test_the_caption_of_a_picture_that_is_or_may_be_in_the_chat_counts(
    requests: RequestRepository, sessions: Sessions, request_id: UUID, ended: dict[str, Any]
) -> None:
    await put_requests(sessions, _IN_CHAT, {**ended, "persona_caption": _TWO})

    assert await caption(requests, request_id, [_ONE, _TWO]) == _ONE


async def test_a_picture_that_may_still_come_counts_beside_the_last_one(
    requests: RequestRepository, sessions: Sessions, request_id: UUID
) -> None:
    drawing = {"state": State.DRAWING, "finished_at": None, "persona_caption": _TWO}
    await put_requests(sessions, _IN_CHAT, drawing)

    assert await caption(requests, request_id, [_ONE, _TWO]) is None
    assert await caption(requests, request_id, [_ONE, _TWO, "Hi."]) == "Hi."


async def test_a_list_of_one_is_used_for_every_second_picture(
    requests: RequestRepository, sessions: Sessions, request_id: UUID
) -> None:
    await put_requests(sessions, _IN_CHAT, {"state": State.DELIVERED})

    assert await caption(requests, request_id, [_ONE]) == _ONE


@pytest.mark.parametrize("unseen", [{"kind": "file"}, {"chat_id": None}], ids=["file", "no chat"])
async def test_what_shows_no_picture_in_the_chat_stands_between_no_two_captions(
    requests: RequestRepository, sessions: Sessions, request_id: UUID, unseen: dict[str, Any]
) -> None:
    await put_requests(sessions, _IN_CHAT, {"state": State.DELIVERED, **unseen})

    assert await caption(requests, request_id, [_ONE]) is None


@pytest.mark.parametrize(
    ("of_another", "captions", "chosen"),
    [(_ONE, [_TWO, "Hi."], _TWO), (_TWO, [_TWO, "Hi."], "Hi."), (_TWO, [_TWO], None)],
)
async def test_a_request_keeps_its_caption_unless_another_picture_has_come_with_it(
    requests: RequestRepository,
    sessions: Sessions,
    request_id: UUID,
    *,
    of_another: str,
    captions: Sequence[str],
    chosen: str | None,
) -> None:
    await put_requests(sessions, {**_IN_CHAT, "persona_caption": of_another})
    chosen_before = update(ImageRequest).values(persona_caption=_TWO)
    async with sessions.begin() as session:
        await session.execute(chosen_before.where(ImageRequest.id == request_id))

    assert await caption(requests, request_id, captions) == chosen
    assert (await conversations.row(sessions, request_id)).persona_caption == chosen
