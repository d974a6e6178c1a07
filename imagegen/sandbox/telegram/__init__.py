"""A Telegram Bot API that keeps what it gets, has people in its chats, and fails on request.

`server.py`: the server, and what a test does to it.
`call_handler.py`, `calls.py`: calls are logged, meet their faults, are carried out and answered.
`person.py`, `chat_routes.py`: a person in a chat, in Python and over HTTP.
`methods.py`, `sending.py`, `editing.py`, `form.py`: the API methods, and what calls send.
`markup/`: formatted text.
`updates.py`, `webhook.py`: what the bot is told, by polling or by webhook.
`chats.py`, `message.py`, `files.py`, `events.py`: chats, messages, files, and what happens to them.
`faults.py`, `fault_text.py`, `flood.py`, `errors.py`: scripted faults, limits, error answers.
`dropped_port.py`: a port at which connects get no answer.
`web.py`: the chats as web pages.
`standalone.py`: the server as a program of its own.
"""

from imagegen.sandbox.telegram.calls import Call
from imagegen.sandbox.telegram.faults import Trouble
from imagegen.sandbox.telegram.flood import FloodLimits
from imagegen.sandbox.telegram.message import ChatMessage
from imagegen.sandbox.telegram.person import (
    CallbackAnswer,
    ChatPerson,
    NothingToPress,
    NothingToWrite,
)
from imagegen.sandbox.telegram.server import SandboxTelegram

__all__ = [
    "Call",
    "CallbackAnswer",
    "ChatMessage",
    "ChatPerson",
    "FloodLimits",
    "NothingToPress",
    "NothingToWrite",
    "SandboxTelegram",
    "Trouble",
]
