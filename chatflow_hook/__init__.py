"""What a ChatFlow bot imports to have pictures in its conversations."""

from chatflow_hook.allowance import Limited
from chatflow_hook.asking import NothingToVary
from chatflow_hook.forgetting import Forgotten, SentPhoto
from chatflow_hook.hook import ChatFlowHook
from chatflow_hook.outbox import Request
from chatflow_hook.picture import Picture
from chatflow_hook.transaction import DatabaseFault
from chatflow_hook.turn import Message, Rating, Turn

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
