"""The effective rating of a picture; pure.

The effective rating is the lowest of what the bot, the persona, the operator, the user and the chat
allow.
"""

from dataclasses import dataclass

from chatflow_hook.turn import Rating

_ORDER = (Rating.SAFE, Rating.SUGGESTIVE, Rating.EXPLICIT)


@dataclass(frozen=True, kw_only=True)
class RatingBounds:
    """What limits the rating of one picture.

    `asked` is the turn's rating. `is_confirmed`: the user has confirmed their age. `is_private`: the
    picture goes to nobody but the user; see `is_private_chat`.
    """

    asked: Rating
    persona: Rating
    operator: Rating
    is_confirmed: bool
    is_private: bool


def effective_rating(bounds: RatingBounds) -> Rating:
    """Return the highest rating that all bounds allow.

    It is above safe only in a private chat with a user who has confirmed their age.
    """
    user = Rating.EXPLICIT if bounds.is_confirmed else Rating.SAFE
    chat = Rating.EXPLICIT if bounds.is_private else Rating.SAFE
    return lowest_rating(bounds.asked, bounds.persona, bounds.operator, user, chat)


def is_private_chat(chat_id: int | None, user_id: int) -> bool:
    """Whether Telegram's chat of this id is the private one of the user, which has the user's id.

    Groups and channels have negative ids, as has a user who writes in the name of a channel. None
    is not private: nobody knows to whom the bot shows a picture that goes to no chat.
    """
    return chat_id == user_id and user_id > 0


def lowest_rating(*ratings: Rating) -> Rating:
    """Return the lowest of several ratings."""
    return min(ratings, key=_ORDER.index)


def known_rating(value: str | None) -> Rating:
    """Return the rating of this name; SAFE for None and for an unknown name."""
    return _rating_named(value, Rating.SAFE)


def drawn_rating(value: str | None) -> Rating:
    """Return the rating at which an image was drawn; EXPLICIT for None and for an unknown name."""
    return _rating_named(value, Rating.EXPLICIT)


def _rating_named(value: str | None, default: Rating) -> Rating:
    return Rating(value) if value in set(Rating) else default
