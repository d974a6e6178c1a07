"""Picture: what became of a request, for callers that want the picture themselves."""

from dataclasses import dataclass

from sqlalchemy import case, select

from chatflow_hook.tables import ImageRequest, State


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The state of a request and, once it is drawn, what is known of its picture.

    `url` is there once it is delivered, where the worker serves pictures; sides are pixels.
    `message` is a sentence for people, set together with the stable `error_code`.
    """

    state: State
    error_code: str | None
    message: str | None
    url: str | None
    width: int | None
    height: int | None
    seed: int | None
    telegram_message_id: int | None


QUERY = select(
    ImageRequest.state,
    ImageRequest.error_code,
    ImageRequest.error_sentence.label("message"),
    # Before that nobody has said that it may be seen.
    case((ImageRequest.state == State.DELIVERED, ImageRequest.image_url)).label("url"),
    ImageRequest.width,
    ImageRequest.height,
    ImageRequest.seed,
    ImageRequest.telegram_message_id,
)
