"""A Telegram Bot API that keeps what it gets, can be troubled by script, and shows its chats."""

from imagegen.sandbox.telegram.chats import ChatMessage
from imagegen.sandbox.telegram.faults import Trouble
from imagegen.sandbox.telegram.server import Call, SandboxTelegram

__all__ = ["Call", "ChatMessage", "SandboxTelegram", "Trouble"]
