"""What a ChatFlow bot imports to have pictures in its conversations.

- hook.py: ChatFlowHook, whose methods a bot calls
- sync.py: the same for synchronous bots
- turn_recorder.py: records a turn, in the bot's transaction or one of the hook's own
- sessions.py: the bot's sessions of every kind
- turn.py: the message that a bot hands over
- batches.py: handles together what comes at the same time
- outbox.py: counts a message and inserts its request
- dialog_statements.py: the statements that read a dialog and write its count
- trigger.py: whether a picture is due
- counter_check.py: whether a bot's counter rises by two a turn
- quota.py: how many pictures a user may have
- manual_requests.py: pictures that a user asks for, and variations
- covers.py: pictures that are drawn ahead, for the start of a dialog
- buttons.py: the buttons under a picture, and what a press does
- picture_intent.py: whether a message asks for a picture
- handles.py: by what a caller names a request
- drafts.py: the drafts that show how far a request is
- picture.py: the result of a request
- ends.py: tells the bot of requests that have ended
- messages.py: what people are told while a picture is made, and when there is none
- limited_message.py: what people are told who have had all pictures that the limits allow
- cancellation.py: cancels open requests
- user_erasure.py: erases everything of a user
- age_questions.py: whom the bot asks for their age, and what the answer stores
- age_confirmation.py: which users were asked, and have confirmed to be of age
- prefilter.py: which messages may speak of somebody under 18
- safety_memory.py: what was learnt of users and dialogs, and turns that the worker has to read
- connections.py: the connections of each event loop
- waiting.py: one subscription and one query for all who wait
- queue.py: Redis, to tell the worker
- metrics.py: what the hook counts, for bots that want it
- tracing.py: the spans of a turn, where the bot uses OpenTelemetry
- clock_skew.py: how far the clock of a server is from this process's
- compiled_statements.py: statements that all engines of a process compile once
- database.py: connections, and transactions whose deadline covers their clean-up
- sqlstates.py: PostgreSQL's error codes
- direct_query.py: statements on asyncpg itself
- statement_deadline.py: a deadline for the statements of a turn
- failures.py: why a turn was not recorded, and how often that is logged
- tables.py: the tables that bot and worker share
- settings.py, database_url.py: the environment variables
- bot.py, bot_handlers.py, bot_texts.py: a router and a middleware for aiogram, and their words
- testing.py: a stand-in for ChatFlowHook in a bot's own tests
"""

from chatflow_hook.buttons import Button, ButtonAnswer
from chatflow_hook.database import DatabaseFault
from chatflow_hook.drafts import StoppedDraft
from chatflow_hook.ends import RequestEnd
from chatflow_hook.handles import SentPhoto
from chatflow_hook.hook import ChatFlowHook
from chatflow_hook.limited_message import LimitedMessage
from chatflow_hook.manual_requests import NothingToVary
from chatflow_hook.outbox import Request
from chatflow_hook.picture import Picture
from chatflow_hook.quota import Limited
from chatflow_hook.turn import Message, Rating, Turn
from chatflow_hook.user_erasure import Forgotten

__all__ = [
    "Button",
    "ButtonAnswer",
    "ChatFlowHook",
    "DatabaseFault",
    "Forgotten",
    "Limited",
    "LimitedMessage",
    "Message",
    "NothingToVary",
    "Picture",
    "Rating",
    "Request",
    "RequestEnd",
    "SentPhoto",
    "StoppedDraft",
    "Turn",
]
