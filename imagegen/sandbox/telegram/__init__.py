"""A Telegram Bot API that keeps what it gets, can be troubled by script, and shows its chats.

`server.py`: the server with its token, its calls and its script.
`methods.py`: the API methods and the forms that calls send.
`chats.py`: chats, messages and files.
`faults.py`, `errors.py`: scripted faults, and the API's error answers.
`dropped_port.py`: a port at which connects get no answer.
`web.py`: the chats as web pages.
"""

from imagegen.sandbox.telegram.chats import ChatMessage
from imagegen.sandbox.telegram.faults import Trouble
from imagegen.sandbox.telegram.server import Call, SandboxTelegram

__all__ = ["Call", "ChatMessage", "SandboxTelegram", "Trouble"]
