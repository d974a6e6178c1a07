"""Decides whether an automatic picture is due; pure."""

import random
from dataclasses import dataclass

from chatflow_hook.turn import count_of_one_role


@dataclass(frozen=True, kw_only=True)
class Distance:
    """How many messages lie between two pictures: at least `minimum`, at most `maximum`."""

    minimum: int = 3
    maximum: int = 5

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.maximum:
            raise ValueError("the minimum distance is at least 1 and at most the maximum")

    def drawn(self, chance: random.Random) -> int:
        """Return how many messages are needed at one turn; it is drawn anew for each.

        With 3 to 5 a picture comes after 3, 4 or 5 messages with a probability of 1/3, 4/9 and 2/9.
        """
        return chance.randint(self.minimum, self.maximum)


@dataclass(frozen=True, kw_only=True)
class TriggerVerdict:
    """Whether a picture is due at this message, and the value to store as the watermark."""

    is_due: bool
    watermark: int | None


def inherited_watermark(
    watermark: int, *, message_count: int, counts_both_roles: bool, distance: Distance
) -> int:
    """Return the watermark that another program has left in a dialog, at the hook's first turn.

    `counts_both_roles`: it counts messages of both roles, as does the bot. A dialog that has waited
    for longer than `distance.maximum` begins to count at this message, since otherwise all such
    dialogs would get a picture at the same time.
    """
    if counts_both_roles:
        watermark = count_of_one_role(watermark)
    return message_count if message_count - watermark > distance.maximum else watermark


def judge(
    *,
    message_count: int,
    watermark: int | None,
    failed_at: int | None,
    distance: Distance,
    messages_needed: int,
) -> TriggerVerdict:
    """Decide whether a picture is due at `message_count`.

    `watermark` is the message_count of the last delivered picture, None if there was none.
    `failed_at` is that of the newest automatic request that has not been delivered, None if that
    one was delivered; after it, too, at least `distance.minimum` messages must pass.

    `messages_needed` is the distance that was drawn for this turn.
    """
    if failed_at is not None and failed_at > message_count:
        failed_at = None  # it is from before the dialog was restarted
    watermark = _corrected_watermark(message_count, watermark, failed_at, distance)
    return TriggerVerdict(
        is_due=message_count - (watermark or 0) >= messages_needed
        and (failed_at is None or message_count - failed_at >= distance.minimum),
        watermark=watermark,
    )


def _corrected_watermark(
    message_count: int, watermark: int | None, failed_at: int | None, distance: Distance
) -> int | None:
    if watermark is not None and message_count < watermark:
        watermark = None  # the dialog was restarted
    if watermark is None and failed_at is None and message_count > distance.maximum:
        return message_count  # an old dialog at its first message since the hook was added
    return watermark
