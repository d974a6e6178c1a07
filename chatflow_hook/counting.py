"""Which messages of a dialog were counted, so that an update delivered twice counts once; pure.

A message is known by Telegram's id. These ids are compared for equality only: a bot may handle two
messages at a time and finish the later one first, and a chat that becomes a supergroup begins its
ids anew. A message without an id is known by the count that the bot gave it.
"""

from collections.abc import Sequence

from chatflow_hook.turn import Turn

# Telegram delivers at most 100 updates again, of all dialogs of a bot together.
_KEPT = 100


def is_counted(turn: Turn, counted: Sequence[int]) -> bool:
    """Return whether the turn's message is among those `counted`, the newest last.

    Without an id only the newest message is compared: when a dialog begins anew its counts come
    again. A turn with neither an id nor a count is always a new message.
    """
    if turn.reply_to_message_id is not None:
        return turn.reply_to_message_id in counted
    return turn.message_count is not None and list(counted[-1:]) == [-turn.message_count]


def is_known_again(turn: Turn) -> bool:
    """Return whether the turn's message is recognised when it comes a second time."""
    return turn.reply_to_message_id is not None or turn.message_count is not None


def with_message(turn: Turn, message_count: int, counted: Sequence[int]) -> list[int]:
    """Return `counted` with the turn's message as its newest, and without the oldest ones."""
    message_id = turn.reply_to_message_id
    if message_id is None:
        message_id = -(message_count if turn.message_count is None else turn.message_count)
    return [*counted, message_id][-_KEPT:]
