"""Picture: the state and the result of a request, for callers that show the picture themselves."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, bindparam, case, or_, select

from chatflow_hook import safety_memory
from chatflow_hook.messages import WITHOUT_PICTURE, Messages
from chatflow_hook.tables import ImageRequest, State
from chatflow_hook.turn import Rating


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The state of a request, and what is known of its picture.

    `state` is a string too: `picture.state == "delivered"`. A state that only a newer worker
    knows is given as `drawing` until the request has ended, and then as `failed`.

    `error_code`, stable and listed in docs/errors.md, `message` and `detail` are None unless the
    request has ended without a picture. `message` is for the person in the chat, in the language of
    the turn; it names no machine, no file and no rule. `detail` is for operators and bot authors,
    and may name all of these.

    `width` and `height`, in pixels, are None until it is drawn, and `seed` until drawing begins.
    `url` is None until it is delivered, where nothing serves the image, and for a picture above safe
    whose user has no confirmed age any more. `telegram_message_id` is that of the photo in the chat,
    None as long as none has arrived and without a chat; a picture that arrived although it was
    cancelled has one too. `summary` says in one line of English what a delivered picture shows,
    without a word of the conversation; None if that is not kept.
    """

    state: State
    error_code: str | None
    message: str | None
    url: str | None
    width: int | None
    height: int | None
    seed: int | None
    telegram_message_id: int | None
    detail: str | None = None
    summary: str | None = None


_IS_DELIVERED = ImageRequest.state == State.DELIVERED
# The same rule as the worker's (imagegen/safety/rating.py): above safe only in the private chat of a
# user whose age is confirmed now, in a dialog that nothing learnt keeps safe. An unknown rating counts
# as above safe.
_MAY_BE_SEEN = or_(
    ImageRequest.drawn_rating == Rating.SAFE,
    and_(
        ImageRequest.chat_id == ImageRequest.user_id,
        ImageRequest.user_id > 0,
        safety_memory.may_exceed_safe(
            ImageRequest.user_id,
            ImageRequest.dialog_id,
            text_version=bindparam("age_text_version"),
        ),
    ),
)

# Execute it with the `age_text_version` that a user must have confirmed.
QUERY = select(
    ImageRequest.id,
    ImageRequest.state,
    ImageRequest.finished_at.is_not(None).label("is_ended"),
    ImageRequest.error_code,
    ImageRequest.error_sentence,
    ImageRequest.language,
    # Until the delivery, the checks of the image may still refuse it.
    case((and_(_IS_DELIVERED, _MAY_BE_SEEN), ImageRequest.image_url)).label("url"),
    ImageRequest.width,
    ImageRequest.height,
    ImageRequest.seed,
    ImageRequest.telegram_message_id,
    case((_IS_DELIVERED, ImageRequest.scene["summary"].as_string())).label("summary"),
)


def of_row(row: Row[*tuple[Any, ...]], messages: Messages) -> tuple[UUID, Picture]:
    """Return the request's id and the picture of a row that QUERY has returned."""
    state = known_state(row.state, is_ended=row.is_ended)
    message = detail = None
    if state in WITHOUT_PICTURE:
        message = messages.sentence(state, code=row.error_code, language=row.language)
        detail = detail_of(state, row.error_code, row.error_sentence)
    return row.id, Picture(
        state=state,
        error_code=row.error_code,
        message=message,
        url=row.url,
        width=row.width,
        height=row.height,
        seed=row.seed,
        telegram_message_id=row.telegram_message_id,
        detail=detail,
        summary=row.summary,
    )


def known_state(state: str, *, is_ended: bool) -> State:
    """Return the state of a row, and for one that only a newer version knows what comes nearest."""
    if state in set(State):
        return State(state)
    return State.FAILED if is_ended else State.DRAWING


def detail_of(state: State, code: str | None, sentence: str | None) -> str:
    """Return the sentence for operators of a request that ended without a picture."""
    if state is State.REFUSED:
        # The row's own sentence is the one for people, which hooks of an older version show them.
        return f"Refused as {code}; the table safety_audit has what was found."
    return sentence or "No reason was written down."
