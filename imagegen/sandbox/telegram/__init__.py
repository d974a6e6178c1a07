"""A Telegram Bot API that keeps what it gets, can be troubled by script, and shows its chats."""

from imagegen.sandbox.telegram.chats import SentMessage
from imagegen.sandbox.telegram.server import Call, SandboxTelegram
from imagegen.sandbox.telegram.troubles import Trouble

__all__ = ["Call", "SandboxTelegram", "SentMessage", "Trouble"]
