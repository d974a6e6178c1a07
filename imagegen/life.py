"""The life of a request: which state may follow which. Pure."""

from collections.abc import Mapping
from typing import Final

from chatflow_hook.tables import OPEN, State

# What a job may make of a request that it has claimed. Only an operator's retry leads out of an
# end (revival.py), and only the hook or an operator calls a request off (withdrawal.py).
_ENDS: Final = frozenset({State.FAILED, State.REFUSED, State.EXPIRED})

FOLLOWS: Final[Mapping[State, frozenset[State]]] = {
    # Drawn at once where the same picture was drawn before.
    State.QUEUED: frozenset({State.DRAWING, State.DRAWN}) | _ENDS,
    State.DRAWING: frozenset({State.QUEUED, State.DRAWN}) | _ENDS,
    # Delivered at once where the caller fetches the picture.
    State.DRAWN: frozenset({State.DELIVERING, State.DELIVERED}) | _ENDS,
    # Delivering follows itself when a send is repeated.
    State.DELIVERING: frozenset({State.DRAWN, State.DELIVERING, State.DELIVERED}) | _ENDS,
}


def before(state: State) -> frozenset[State]:
    """Return the states out of which a job may bring a request into this one."""
    return frozenset(each for each in OPEN if state in FOLLOWS[each])
