"""Picture: what became of a request, for callers that want the picture themselves."""

from dataclasses import dataclass

from sqlalchemy import select

from chatflow_hook.tables import ImageRequest, State


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The state of a request and, once it is drawn, what is known of its picture.

    `url` is written by the worker where it serves pictures; width and height are pixels.
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
    ImageRequest.image_url.label("url"),
    ImageRequest.width,
    ImageRequest.height,
    ImageRequest.seed,
    ImageRequest.telegram_message_id,
)
