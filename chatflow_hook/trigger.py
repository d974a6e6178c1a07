"""Is a picture due? Pure: values in, verdict out."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Distance:
    """How many messages lie between two pictures: at least `minimum`, at most `maximum`."""

    minimum: int = 3
    maximum: int = 5

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.maximum:
            raise ValueError("the minimum distance is at least 1 and at most the maximum")


@dataclass(frozen=True, kw_only=True)
class TriggerVerdict:
    """What this message means: is a picture due, and where does the watermark belong."""

    is_due: bool
    watermark: int | None


def judge(
    *,
    message_count: int,
    watermark: int | None,
    failed_at: int | None,
    distance: Distance,
    chance: random.Random,
) -> TriggerVerdict:
    """Say whether a picture is due at `message_count`.

    `watermark` is the message_count of the last delivered picture, `failed_at` that of the
    newest automatic request that ended without one. The distance is drawn afresh at each call,
    so with 3 to 5 a picture comes after 3, 4 or 5 messages with 1/3, 4/9 and 2/9.
    """
    if failed_at is not None and failed_at > message_count:
        failed_at = None  # of a life of this dialog before it began anew
    watermark = _settled(message_count, watermark, failed_at, distance)
    drawn = chance.randint(distance.minimum, distance.maximum)
    return TriggerVerdict(
        is_due=message_count - (watermark or 0) >= drawn
        and (failed_at is None or message_count - failed_at >= distance.minimum),
        watermark=watermark,
    )


def _settled(
    message_count: int, watermark: int | None, failed_at: int | None, distance: Distance
) -> int | None:
    if watermark is not None and message_count < watermark:
        watermark = None  # the dialog began anew
    if watermark is None and failed_at is None and message_count > distance.maximum:
        return message_count  # an old dialog at its first message with us: start here
    return watermark
