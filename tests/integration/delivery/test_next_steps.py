"""The buttons under a picture: another one, as file, hide, report; and the persona's captions."""

import asyncio
import json
import re
from io import BytesIO
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image
from sqlalchemy import select, update
from structlog.testing import capture_logs

from chatflow_hook import Button, ButtonAnswer, ChatFlowHook, NothingToVary, Request, SentPhoto
from chatflow_hook.tables import ImageRequest, State
from imagegen import resources
from imagegen.db.tables import ForgottenMessage
from imagegen.maintenance.retention_limits import RetentionLimits
from imagegen.sandbox.telegram import Trouble
from imagegen.workflows.screening import screened_workflows
from tests.support import conversations
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct

USER, STRANGER = 7, 8
ALL_BUTTONS = "another,file,hide,report"
PRIVATE = {"user_id": USER, "chat_id": USER}


async def delivered(product: RunningProduct, **changes: Any) -> Request:
    """Ask for a picture and wait until it is in the chat."""
    request = await product.hook.ask(turn(**{**PRIVATE, **changes}))
    assert isinstance(request, Request)
    await until_delivered(product, request)
    return request


async def until_delivered(product: RunningProduct, request: Request | None) -> None:
    assert request is not None
    picture = await product.hook.wait(request, timeout=PATIENCE_S)
    assert picture.state is State.DELIVERED, picture


async def press(
    product: RunningProduct,
    button: Button,
    request: Request,
    *,
    user_id: int = USER,
    chat_id: int = USER,
    press_id: str | None = None,
    language: str | None = "en",
) -> ButtonAnswer:
    answer = await product.hook.on_button(
        button.data(request.id),
        user_id=user_id,
        chat_id=chat_id,
        press_id=press_id,
        language=language,
    )
    assert answer is not None
    return answer


async def test_a_picture_that_was_asked_for_has_the_buttons_that_are_set_in_its_language(
    products: ProductFactory,
) -> None:
    async with products.start(delivery_buttons=ALL_BUTTONS) as product:
        request = await delivered(product, language="ru-RU")

        keyboard = json.loads(product.telegram.sent[0].reply_markup or "{}")["inline_keyboard"]
        keys = [key for row in keyboard for key in row]
        assert [key["callback_data"] for key in keys] == [b.data(request.id) for b in Button]
        assert keys[0]["text"] == "Ещё одну"
        assert all(len(key["callback_data"].encode()) <= 64 for key in keys)


async def test_a_picture_that_arrived_although_it_was_called_off_can_be_hidden_and_no_more(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(delivery_buttons=ALL_BUTTONS) as product:
        product.telegram.script(Trouble.late(3.0), method="sendPhoto")
        request = await product.hook.ask(turn(user_id=USER, chat_id=USER))
        assert isinstance(request, Request)
        async with asyncio.timeout(PATIENCE_S):
            while not product.telegram.sent:  # noqa: ASYNC110 (the sandbox gives no event)
                await asyncio.sleep(0.01)
        assert await product.hook.cancel(request)
        async with asyncio.timeout(PATIENCE_S):
            while (await conversations.row(sessions, request.id)).telegram_message_id is None:  # noqa: ASYNC110 (rows)
                await asyncio.sleep(0.05)

        another = await press(product, Button.ANOTHER, request)
        hidden = await press(product, Button.HIDE, request)

        row = await conversations.row(sessions, request.id)
        assert row.state == State.CANCELLED
        assert another.request is None
        assert (another.deletes_message, hidden.deletes_message) == (False, True)
        assert row.hidden_at is not None


@pytest.mark.parametrize(("under", "has_buttons"), [("asked", False), ("all", True)])
async def test_automatic_pictures_have_buttons_only_where_that_is_set(
    products: ProductFactory, *, under: str, has_buttons: bool
) -> None:
    async with products.start(delivery_buttons="another", delivery_buttons_under=under) as product:
        await product.picture()

        assert (product.telegram.sent[0].reply_markup is not None) is has_buttons


async def test_another_one_answers_the_picture_and_comes_once_for_two_presses(
    products: ProductFactory,
) -> None:
    async with products.start(works=False) as product:
        async with product.worker():
            first = await delivered(product)
        photo = product.telegram.sent[0].message_id

        answers = [await press(product, Button.ANOTHER, first, press_id="1") for _ in range(2)]
        async with product.worker():
            await until_delivered(product, answers[0].request)
        again = await press(product, Button.ANOTHER, first, press_id="1")

        assert [answer.request is None for answer in answers] == [False, True]
        assert again.request is None
        assert product.telegram.sent[1].reply_to_message_id == photo
        assert len(product.telegram.sent) == 2


async def test_the_file_is_the_original_answers_the_picture_and_is_sent_once(
    products: ProductFactory,
) -> None:
    async with products.start() as product:
        first = await delivered(product)

        answer = await press(product, Button.FILE, first)
        await until_delivered(product, answer.request)
        again = await press(product, Button.FILE, first)

        photo, file = product.telegram.sent
        assert file.document is not None
        assert Image.open(BytesIO(file.document)).format == "PNG"
        name = product.telegram.chats.described(file)["document"]["file_name"]
        assert re.fullmatch(r"lina-[0-9a-f]{8}\.png", name)
        assert (file.reply_to_message_id, file.caption) == (photo.message_id, None)
        assert not file.protect_content
        assert again.request is None
        assert "already" in again.text
        assert len(product.hosts[0].drawn) == 1


async def test_above_safe_the_file_is_protected_and_goes_to_its_user_alone(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(max_rating="suggestive") as product:
        await product.hook.confirm_age(USER)
        first = await delivered(product, rating="suggestive", text="meet me at the beach")
        await rated(sessions, first, "suggestive")

        answer = await press(product, Button.FILE, first)
        await until_delivered(product, answer.request)

        assert product.telegram.sent[1].document is not None
        assert product.telegram.sent[1].protect_content


async def test_above_safe_no_file_is_sent_once_the_age_is_revoked(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(max_rating="suggestive") as product:
        await product.hook.confirm_age(USER)
        first = await delivered(product, rating="suggestive", text="meet me at the beach")
        await rated(sessions, first, "suggestive")
        await product.hook.revoke_age(USER)

        answer = await press(product, Button.FILE, first)
        assert answer.request is not None
        ended = await product.hook.wait(answer.request, timeout=PATIENCE_S)

        assert ended.state is State.REFUSED
        assert "sendDocument" not in {message.method for message in product.telegram.sent}


async def test_in_a_group_a_hidden_picture_is_not_sent_as_a_file_that_shows_it(
    products: ProductFactory,
) -> None:
    async with products.start() as product:
        first = await delivered(product, chat_id=-5, has_spoiler=True)

        answer = await press(product, Button.FILE, first, chat_id=-5)

        assert (answer.request, answer.show_alert) == (None, True)


async def test_a_file_that_is_not_kept_any_more_is_said_to_be_gone(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        first = await delivered(product)
        await change(sessions, first, image=None)

        answer = await press(product, Button.FILE, first, language="ru")

        assert (answer.request, answer.text) == (None, "Файл этой картинки уже не хранится.")


async def test_in_a_group_only_the_one_whose_picture_it_is_counts_and_everybody_may_report(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        first = await delivered(product, chat_id=-5)

        of_stranger = [
            await press(product, button, first, user_id=STRANGER, chat_id=-5)
            for button in (Button.ANOTHER, Button.FILE, Button.HIDE)
        ]
        elsewhere = await press(product, Button.REPORT, first, user_id=STRANGER, chat_id=-6)
        reported = await press(product, Button.REPORT, first, user_id=STRANGER, chat_id=-5)

        assert [answer.show_alert for answer in of_stranger] == [True] * 3
        assert elsewhere.show_alert
        assert not elsewhere.deletes_message
        assert reported.deletes_message
        row = await conversations.row(sessions, first.id)
        assert (row.reported_by, row.hidden_at is not None) == (STRANGER, True)
        assert (await press(product, Button.ANOTHER, first, chat_id=-5)).request is None


async def test_a_hidden_picture_is_noted_for_the_worker_with_its_file(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        first = await delivered(product)
        answer = await press(product, Button.FILE, first)
        await until_delivered(product, answer.request)

        hidden = [await press(product, Button.HIDE, first) for _ in range(2)]

        async with sessions() as session:
            listed = set(await session.scalars(select(ForgottenMessage.message_id)))
        assert [each.deletes_message for each in hidden] == [True, True]
        assert listed == {message.message_id for message in product.telegram.sent}


async def test_a_file_that_waits_is_called_off_when_its_picture_is_hidden(
    products: ProductFactory,
) -> None:
    async with products.start(works=False) as product:
        async with product.worker():
            first = await delivered(product)
        answer = await press(product, Button.FILE, first)
        assert answer.request is not None

        await press(product, Button.HIDE, first)

        assert (await product.hook.status(answer.request)).state is State.CANCELLED


async def test_who_reported_a_picture_is_erased_with_them_and_the_report_stays(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        first = await delivered(product, chat_id=-5)
        await press(product, Button.REPORT, first, user_id=STRANGER, chat_id=-5)

        await product.hook.forget_user(STRANGER)

        row = await conversations.row(sessions, first.id)
        assert (row.reported_by, row.reported_at is not None) == (None, True)


async def test_while_the_database_is_away_a_press_is_answered_all_the_same(redis_url: str) -> None:
    settings = conversations.hook_settings("postgresql://u@127.0.0.1:1/nobody", redis_url)
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook:
        data = Button.HIDE.data(uuid4())
        with capture_logs() as log:
            for _ in range(3):
                answer = await hook.on_button(data, user_id=USER, chat_id=USER, language="ru")

    assert answer is not None
    assert (answer.show_alert, answer.text[:7]) == (True, "Сейчас ")
    assert [line["event"] for line in log] == ["button not carried out"]


async def test_who_has_had_their_share_is_told_when_the_next_one_is_free(
    products: ProductFactory,
) -> None:
    async with products.start(bot={"asked_images_per_minute": 1}) as product:
        first = await delivered(product)

        answer = await press(product, Button.ANOTHER, first)

        assert answer.request is None
        assert "free at" in answer.text
        assert answer.text.endswith(" UTC.")


@pytest.mark.parametrize("is_pressed", [True, False], ids=["a button", "vary"])
async def test_another_one_of_a_photo_that_is_not_written_down_as_delivered_yet(
    products: ProductFactory, *, is_pressed: bool
) -> None:
    async with products.start() as product:
        # The photo is in the chat, and the worker does not know it yet.
        product.telegram.script(Trouble.late(0.3), method="sendPhoto")
        first = await product.ask(**PRIVATE)
        [photo] = await product.telegram.wait_for(1, timeout=PATIENCE_S)

        if is_pressed:
            assert (await press(product, Button.ANOTHER, first)).request is not None
        else:
            sent = SentPhoto(chat_id=USER, message_id=photo.message_id)
            assert isinstance(await product.hook.vary(sent), Request)


async def test_a_photo_that_stays_on_its_way_is_not_waited_for_longer_than_a_turn(
    database_url: str, redis_url: str, sessions: Sessions
) -> None:
    settings = conversations.hook_settings(database_url, redis_url)
    async with ChatFlowHook(settings, turn_timeout_s=0.2) as hook:
        request = await hook.ask(turn(user_id=USER, chat_id=USER))
        assert isinstance(request, Request)
        await change(sessions, request, state=State.DELIVERING)
        data = Button.ANOTHER.data(request.id)

        answer = await hook.on_button(data, user_id=USER, chat_id=USER, language="en")
        with pytest.raises(NothingToVary, match="on its way"):
            await hook.vary(SentPhoto(chat_id=USER, message_id=5))

    assert answer is not None
    assert "try again in a minute" in answer.text


@pytest.mark.parametrize(
    "data", ["pic1:dance:00000000000000000000000000000000", "pic9:x", "pic1:hide"]
)
async def test_a_button_of_another_version_says_so(products: ProductFactory, data: str) -> None:
    async with products.start(works=False) as product:
        answer = await product.hook.on_button(data, user_id=USER, chat_id=USER)

        assert answer is not None
        assert answer.show_alert


@pytest.mark.parametrize("data", [None, "", "menu:1", "pic", f"pic1:cancel:{0:032x}"])
async def test_a_button_of_the_bots_own_is_not_ours(
    products: ProductFactory, data: str | None
) -> None:
    async with products.start(works=False) as product:
        assert await product.hook.on_button(data, user_id=USER, chat_id=USER) is None


async def test_the_bots_own_prompt_can_be_varied_as_long_as_its_words_are_kept(
    products: ProductFactory, sessions: Sessions
) -> None:
    words = "she repairs a bicycle in a workshop"
    async with products.start() as product:
        first = await delivered(product, prompt=words, text="something quite private")
        kept = (await conversations.row(sessions, first.id)).conversation

        varied = await product.hook.vary(first)
        assert isinstance(varied, Request)
        await until_delivered(product, varied)
        await change(sessions, first, conversation=None)
        gone = await press(product, Button.ANOTHER, first)

        assert kept == {"text": "", "prompt": words}
        assert ["bicycle" in prompt for prompt in product.prompts()] == [True, True]
        assert (gone.request, "not kept" in gone.text) == (None, True)


async def test_kept_words_are_due_after_the_retention_of_contexts(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        await delivered(product, prompt="she repairs a bicycle in a workshop")
        plain = await delivered(product, dialog_id=2)

        limits = RetentionLimits(context_s=0.0, requests_s=None, images_s=None)
        async with sessions() as session:
            due = list(await session.scalars(select(ImageRequest.id).where(limits.due_contexts)))
        assert len(due) == 1
        assert plain.id not in due


async def test_a_variation_answers_the_message_that_asked_for_it(products: ProductFactory) -> None:
    async with products.start() as product:
        first = await delivered(product)
        asking = product.telegram.write(USER, "another one please")

        varied = await product.hook.vary(first, reply_to_message_id=asking)
        assert isinstance(varied, Request)
        await until_delivered(product, varied)

        assert product.telegram.sent[1].reply_to_message_id == asking


async def test_a_persona_says_something_in_the_language_and_never_the_same_twice_in_a_row(
    products: ProductFactory,
) -> None:
    captions = screened_workflows(resources.path("workflows")).find("lina").persona.captions
    async with products.start(bot={"asked_images_per_minute": 0}) as product:
        for _ in range(5):
            await delivered(product, persona="lina", language="ru")
        await delivered(product, persona="lina", language=None, text="hello there")

        said = [message.caption for message in product.telegram.sent]
        assert set(said[:5]) <= set(captions.ru)
        assert all(one != next_one for one, next_one in pairwise(said))
        assert said[5] in captions.en


async def test_the_bots_own_caption_wins_and_may_have_markup(products: ProductFactory) -> None:
    async with products.start() as product:
        await delivered(product, caption="<b>Look</b>", caption_parse_mode="HTML")

        assert product.telegram.sent[0].caption == "Look"


async def test_captions_can_be_switched_off(products: ProductFactory) -> None:
    async with products.start(delivery_captions=False) as product:
        await delivered(product)

        assert product.telegram.sent[0].caption is None


async def rated(sessions: Sessions, request: Request, rating: str) -> None:
    assert (await conversations.row(sessions, request.id)).drawn_rating == rating


async def change(sessions: Sessions, request: Request, **values: Any) -> None:
    query = update(ImageRequest).where(ImageRequest.id == request.id).values(**values)
    async with sessions.begin() as session:
        await session.execute(query)
