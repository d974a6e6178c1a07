"""What a chat sees while its picture is made, and that the picture never depends on it."""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from uuid import UUID

import pytest
from PIL import Image
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.drafts import cancel_data, draft_id
from chatflow_hook.tables import State
from imagegen import image_file
from imagegen.comfy.preview import Preview
from imagegen.delivery.message import AiMark
from imagegen.delivery.rate_limit import FloodControl
from imagegen.pipeline.chat_progress import ProgressMode, ProgressTimes
from imagegen.pool.scheduler import QueuePlace
from imagegen.sandbox.telegram import Trouble
from tests.support import conversations, request_steps
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.pictures import png
from tests.support.told_chat import ANNA, ToldChat, told_chat

EMPTY_BAR = "Drawing your picture…\n▱▱▱▱▱▱▱▱▱▱"
HALF_BAR = "Drawing your picture…\n▰▰▰▰▰▱▱▱▱▱"


@pytest.fixture
async def chat(engine: AsyncEngine, sessions: Sessions, redis_url: str) -> AsyncIterator[ToldChat]:
    async with told_chat(engine, sessions, redis_url) as chat:
        yield chat


async def test_one_status_message_is_edited_only_when_something_changes(chat: ToldChat) -> None:
    progress = await chat.progress(await chat.put())
    progress.waits(lambda: QueuePlace(number=2, ends_s=30.0))
    await progress.show_text()
    await progress.show_text()
    progress.draws(None)
    progress.set_share(0.55)
    await progress.show_text()
    await progress.show_text()

    assert [call.method for call in chat.server.calls] == ["sendMessage", "editMessageText"]
    assert chat.server.sent[0].text == "Your picture is number 2 in the queue.\nabout 30 s"
    assert chat.texts() == [HALF_BAR]
    (message,) = chat.server.chats.current[ANNA].values()
    assert message.buttons == [[{"text": "Cancel", "callback_data": cancel_data(UUID(int=1))}]]


async def test_the_next_job_edits_the_status_message_of_the_one_before(chat: ToldChat) -> None:
    request_id = await chat.put()
    await (await chat.progress(request_id)).show_text()

    progress = await chat.progress(request_id)
    progress.set_share(0.5)
    await progress.show_text()

    assert chat.texts() == [HALF_BAR]


async def test_a_status_message_that_somebody_has_deleted_is_not_sent_again(
    chat: ToldChat,
) -> None:
    request_id = await chat.put()
    progress = await chat.progress(request_id)
    await progress.show_text()
    (message,) = chat.server.chats.current[ANNA].values()
    chat.server.chats.delete(message)

    for share in (0.3, 0.6):
        progress.set_share(share)
        await progress.show_text()

    assert chat.texts() == []
    assert progress.status is None
    assert (await conversations.row(chat.sessions, request_id)).status_message_id is None


async def test_nothing_is_told_after_the_end_of_a_request(chat: ToldChat) -> None:
    request_id = await chat.put()
    progress = await chat.progress(request_id)
    await progress.show_text()
    await chat.end(request_id, State.CANCELLED)

    progress.set_share(0.5)
    await progress.show_text()

    assert chat.texts() == [EMPTY_BAR]


async def test_no_chat_action_is_shown_after_the_end_of_a_request(chat: ToldChat) -> None:
    request_id = await chat.put()
    progress = await chat.progress(request_id, "action")
    await progress.show_upload()
    await chat.end(request_id, State.CANCELLED)

    await progress.show_upload()

    assert [call.method for call in chat.server.calls] == ["sendChatAction"]


async def test_nothing_is_told_once_the_picture_comes(chat: ToldChat) -> None:
    progress = await chat.progress(await chat.put())
    await progress.show_text()

    await progress.finish()
    progress.set_share(0.5)
    await progress.show_text()

    assert chat.texts() == [EMPTY_BAR]


@pytest.mark.parametrize(
    ("rating", "protects", "is_protected"),
    [("explicit", True, True), ("safe", True, False), ("explicit", False, False)],
)
async def test_the_status_of_a_picture_that_may_need_it_is_protected(
    chat: ToldChat, rating: str, *, protects: bool, is_protected: bool
) -> None:
    request_id = await chat.put(rating=rating)
    progress = await chat.progress(request_id, protects_content=protects)

    await progress.show_text()

    assert chat.server.sent[0].protect_content is is_protected
    row = await conversations.row(chat.sessions, request_id)
    assert row.status_is_protected is is_protected


async def test_a_draft_has_a_stop_button_and_is_renewed(chat: ToldChat) -> None:
    request_id = await chat.put()
    times = ProgressTimes(renew_draft_s=0.0)
    progress = await chat.progress(request_id, "draft", times=times)
    await progress.show_text()
    await progress.show_text()

    draft = chat.server.chats.drafts[ANNA, draft_id(request_id)]
    assert (draft.text, draft.can_stop) == (EMPTY_BAR, True)
    assert [call.method for call in chat.server.calls] == ["sendMessageDraft"] * 2
    assert chat.texts() == []


async def test_a_draft_is_not_renewed_without_need(chat: ToldChat) -> None:
    progress = await chat.progress(await chat.put(), "draft")
    await progress.show_text()
    await progress.show_text()

    assert len(chat.server.calls) == 1


@pytest.mark.parametrize("chat_id", [ANNA, -100_500])
async def test_a_chat_that_takes_no_draft_gets_a_message(chat: ToldChat, chat_id: int) -> None:
    chat.server.refuse_drafts(chat_id)
    progress = await chat.progress(await chat.put(chat_id=chat_id), "draft")
    await progress.show_text()
    progress.set_share(0.5)
    await progress.show_text()

    assert chat.texts(chat_id) == [HALF_BAR]


@pytest.mark.parametrize("description", ["Not Found: method not found", "Not Found"])
async def test_a_server_that_knows_no_drafts_gets_a_message(
    chat: ToldChat, description: str
) -> None:
    chat.server.script(Trouble.refused(404, description), method="sendMessageDraft", times=None)
    progress = await chat.progress(await chat.put(), "draft")
    await progress.show_text()
    progress.set_share(0.5)
    await progress.show_text()

    assert chat.texts() == [HALF_BAR]


async def test_a_preview_takes_the_place_of_the_text(chat: ToldChat) -> None:
    progress = await chat.progress(await chat.put(), shows_previews=True)
    await progress.show_text()
    image = png()
    progress.set_preview(Preview(prompt_id=None, node=None, content_type="image/png", image=image))
    progress.set_share(0.5)

    await progress.show_text()

    (message,) = chat.server.chats.current[ANNA].values()
    assert message.caption == HALF_BAR
    assert message.photo is not None
    assert image_file.AI_MADE_XMP in message.photo
    with Image.open(BytesIO(message.photo)) as shown, Image.open(BytesIO(image)) as drawn:
        assert shown.size == drawn.size


async def test_a_preview_says_that_it_was_made_by_a_machine_as_the_picture_will(
    chat: ToldChat,
) -> None:
    progress = await chat.progress(
        await chat.put(language="ru"), shows_previews=True, ai_mark=AiMark.BOTH
    )
    white = BytesIO()
    Image.new("RGB", (256, 320), "white").save(white, "JPEG")
    await progress.show_text()
    progress.set_preview(
        Preview(prompt_id=None, node=None, content_type="image/jpeg", image=white.getvalue())
    )

    await progress.show_text()

    (message,) = chat.server.chats.current[ANNA].values()
    assert str(message.caption).endswith("\n\nКартинка создана ИИ")
    with Image.open(BytesIO(message.photo or b"")) as shown:
        corner = shown.convert("L").crop((0, 280, 60, 320)).tobytes()
        elsewhere = shown.convert("L").crop((0, 0, 256, 200)).tobytes()
    assert min(corner) < 128
    assert min(elsewhere) > 240


@pytest.mark.parametrize("sent", [b"", b"no image", b"\x89PNG\r\n\x1a\nbroken"])
async def test_a_preview_that_is_no_image_is_not_shown_and_the_status_goes_on(
    chat: ToldChat, sent: bytes
) -> None:
    progress = await chat.progress(await chat.put(), shows_previews=True)
    await progress.show_text()
    progress.set_preview(Preview(prompt_id=None, node=None, content_type="image/png", image=sent))
    progress.set_share(0.5)

    await progress.show_text()

    assert chat.texts() == [HALF_BAR]


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble.flood(60),
        Trouble.drop(),
        Trouble.bad_gateway(),
        Trouble.refused(418, "I'm a teapot"),
        Trouble.refused(403, "Forbidden: bot was blocked by the user"),
        Trouble.migrated(-100_700),
    ],
    ids=["flood", "drop", "gateway", "strange", "blocked", "moved"],
)
@pytest.mark.parametrize("mode", ["message", "draft", "action"])
async def test_progress_that_fails_raises_nothing(
    chat: ToldChat, trouble: Trouble, mode: ProgressMode
) -> None:
    chat.server.script(trouble, times=None)
    progress = await chat.progress(await chat.put(), mode)

    for share in (0.2, 0.4):
        progress.set_share(share)
        await progress.show_text()
        await progress.show_upload()
    await progress.finish()


async def test_a_status_whose_answer_was_lost_gets_no_second_one_beside_it(
    chat: ToldChat,
) -> None:
    chat.server.script(Trouble.drop(is_accepted=True), method="sendMessage")
    progress = await chat.progress(await chat.put())

    for share in (0.2, 0.4):
        progress.set_share(share)
        await progress.show_text()

    assert len(chat.server.sent) == 1


async def test_progress_is_not_told_while_telegram_demands_a_pause(
    chat: ToldChat, redis_url: str
) -> None:
    async with Redis.from_url(redis_url, db=4) as redis:
        await FloodControl(redis).pause(ANNA, 60)
    progress = await chat.progress(await chat.put())

    await progress.show_text()
    await progress.show_upload()

    assert chat.server.calls == []


async def test_progress_is_not_told_while_a_picture_is_on_its_way(chat: ToldChat) -> None:
    progress = await chat.progress(await chat.put())

    with chat.sender.picture_first(ANNA):
        await progress.show_text()
    assert chat.server.calls == []
    await progress.show_text()

    assert chat.texts() == [EMPTY_BAR]


async def test_the_chat_action_goes_on_until_the_block_ends(chat: ToldChat) -> None:
    request_id = await chat.put()
    times = ProgressTimes(first_s=0.0, action_s=0.01)
    progress = await chat.progress(request_id, "action", times=times)
    request = await request_steps.claimed(chat.requests, request_id)

    async with progress.of_all.showing(request) as shown:
        await chat.server.wait_for_calls(2, method="sendChatAction", timeout=10)
        await shown.finish()
        told = len(chat.server.calls)
        await chat.server.wait_for_calls(told + 1, method="sendChatAction", timeout=10)

    assert not [task for task in asyncio.all_tasks() if "progress" in task.get_name()]
    assert {call.fields["action"] for call in chat.server.calls} == {"upload_photo"}


@pytest.mark.parametrize("mode", ["action", "message"])
async def test_nothing_is_told_of_a_picture_that_is_there_at_once(
    chat: ToldChat, mode: ProgressMode
) -> None:
    request_id = await chat.put()
    progress = await chat.progress(request_id, mode, times=ProgressTimes(first_s=PATIENCE_S))
    request = await request_steps.claimed(chat.requests, request_id)

    async with progress.of_all.showing(request) as shown:
        shown.set_share(0.5)
        await asyncio.sleep(0.1)
        await shown.finish()

    assert chat.server.calls == []


async def test_the_status_of_an_erased_user_is_deleted(chat: ToldChat) -> None:
    request_id = await chat.put()
    progress = await chat.progress(request_id)
    await progress.show_text()
    async with chat.sessions.begin() as session:
        await session.delete(await conversations.row(chat.sessions, request_id))

    await progress.remove_if_erased()

    assert chat.texts() == []


def test_ids_of_drafts_are_numbers_that_telegram_takes() -> None:
    for number in (0, 2**31, 2**128 - 1):
        assert 0 < draft_id(UUID(int=number)) < 2**31
