"""What a ChatFlow bot imports to have pictures in its conversations."""

from chatflow_hook.hook import ChatFlowHook
from chatflow_hook.outbox import Request
from chatflow_hook.picture import Picture
from chatflow_hook.turn import Message, Rating, Turn

__all__ = ["ChatFlowHook", "Message", "Picture", "Rating", "Request", "Turn"]
