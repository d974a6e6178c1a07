"""What a ChatFlow bot imports to have pictures in its conversations."""

from chatflow_hook.database import DatabaseFault
from chatflow_hook.hook import ChatFlowHook
from chatflow_hook.manual_requests import NothingToVary
from chatflow_hook.outbox import Request
from chatflow_hook.picture import Picture
from chatflow_hook.quota import Limited
from chatflow_hook.turn import Message, Rating, Turn
from chatflow_hook.user_erasure import Forgotten, SentPhoto

__all__ = [
    "ChatFlowHook",
    "DatabaseFault",
    "Forgotten",
    "Limited",
    "Message",
    "NothingToVary",
    "Picture",
    "Rating",
    "Request",
    "SentPhoto",
    "Turn",
]
