"""A chat and what tells it of pictures: the real sender on the sandbox Telegram, without a worker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.messages import Messages
from chatflow_hook.tables import ImageRequest, State
from imagegen.comfy.preview import Preview
from imagegen.delivery.chat_sender import ChatSender
from imagegen.delivery.message import TextMessage
from imagegen.delivery.pacing import Pacing, SendLimits, Window
from imagegen.delivery.rate_limit import FloodControl
from imagegen.delivery.telegram import Telegram
from imagegen.pipeline.chat_progress import (
    ChatProgress,
    ProgressMode,
    ProgressSettings,
    ProgressTimes,
    RequestProgress,
)
from imagegen.pipeline.end_notices import EndNotices, ToldEnds
from imagegen.requests.chat_ends import ChatEnds
from imagegen.requests.repository import RequestRepository
from imagegen.sandbox.telegram import SandboxTelegram
from tests.support import conversations, request_steps
from tests.support.aged_rows import SAID
from tests.support.conversations import Sessions
from tests.support.pictures import png

ANNA = 1001
_UNLIMITED = Window(most=10**6, seconds=1.0)
NO_LIMITS = SendLimits(chat=_UNLIMITED, group=_UNLIMITED, bot=_UNLIMITED)


@dataclass(frozen=True, kw_only=True)
class ToldChat:
    """The sandbox's chats, the database, and what tells the chats of requests."""

    server: SandboxTelegram
    sender: ChatSender
    requests: RequestRepository
    ends: ChatEnds
    sessions: Sessions

    async def put(self, *, number: int = 1, **values: Any) -> UUID:
        """Add a request that Anna asked for in her private chat, in a dialog of its own."""
        await conversations.put_dialog(self.sessions, number)
        usual: dict[str, Any] = {
            "id": UUID(int=number),
            "kind": "asked",
            "dialog_id": number,
            "user_id": ANNA,
            "chat_id": ANNA,
            "persona": "lina",
            "message_count": 3,
            "conversation": SAID,
            "language": "en",
        }
        async with self.sessions.begin() as session:
            session.add(ImageRequest(**(usual | values)))
        return UUID(int=number)

    async def progress(
        self,
        request_id: UUID,
        mode: ProgressMode = "message",
        *,
        times: ProgressTimes | None = None,
        **settings: Any,
    ) -> RequestProgress:
        """Claim a request, and return what tells its chat how far it is."""
        chat_progress = ChatProgress(
            self.sender,
            self.requests,
            Messages(),
            ProgressSettings(mode=mode, **settings),
            times=times,
        )
        request = await request_steps.claimed(self.requests, request_id)
        return RequestProgress(chat_progress, request)

    def notices(self, told: ToldEnds = "asked") -> EndNotices:
        return EndNotices(self.ends, self.sender, Messages(), told=told)

    async def end(self, request_id: UUID, state: State, **values: Any) -> None:
        """End a request as a job or the hook does, five seconds ago."""
        ended = func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, 5.0)
        async with self.sessions.begin() as session:
            await session.execute(
                update(ImageRequest)
                .where(ImageRequest.id == request_id)
                .values(state=state, finished_at=ended, **values)
            )

    async def with_status(self, request_id: UUID, *, chat_id: int = ANNA) -> int:
        """Send a status message for a request, and write it into its row."""
        message_id = await self.sender.send_text(TextMessage(chat_id=chat_id, text="Drawing…"))
        async with self.sessions.begin() as session:
            await session.execute(
                update(ImageRequest)
                .where(ImageRequest.id == request_id)
                .values(status_message_id=message_id)
            )
        return message_id

    async def preview(self, progress: RequestProgress) -> None:
        """Let the status message of a request show a preview."""
        preview = Preview(prompt_id=None, node=None, content_type="image/png", image=png())
        progress.set_preview(preview)
        await progress.show_text()

    async def pauses_are_over(self) -> None:
        """Wait until Telegram's pause of Anna's chat is over."""
        await asyncio.sleep(await self.sender.wait_s(ANNA))

    def texts(self, chat_id: int = ANNA) -> list[str | None]:
        """Return what everybody in a chat sees now; None for a message with a photo."""
        return [message.text for message in self.server.chats.current[chat_id].values()]


@asynccontextmanager
async def told_chat(
    engine: AsyncEngine, sessions: Sessions, redis_url: str, *, limits: SendLimits = NO_LIMITS
) -> AsyncIterator[ToldChat]:
    """Open the sandbox and the sender on it; without limits unless they are given."""
    async with (
        SandboxTelegram() as server,
        sender_to(server, redis_url, limits=limits) as sender,
    ):
        yield ToldChat(
            server=server,
            sender=sender,
            requests=RequestRepository(engine),
            ends=ChatEnds(engine),
            sessions=sessions,
        )


@asynccontextmanager
async def sender_to(
    server: SandboxTelegram, redis_url: str, *, limits: SendLimits | None = None
) -> AsyncIterator[ChatSender]:
    """Open a sender of its own to the sandbox, with Telegram's limits unless others are given."""
    async with (
        Telegram(token=server.token, api_url=server.url, timeout_s=5) as telegram,
        Redis.from_url(redis_url, db=4) as redis,
    ):
        yield ChatSender(telegram, FloodControl(redis), Pacing(limits))
