"""Several pictures of one request: an album, from the batch on the host to its erasure."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import Button, Rating, Request, SentPhoto, user_erasure
from chatflow_hook.tables import ImageRequest, Kind, State
from imagegen import resources
from imagegen.db.tables import Delivery, ForgottenMessage
from imagegen.maintenance.image_cleanup import ImageCleanup
from imagegen.maintenance.retention import Retention
from imagegen.maintenance.retention_limits import RetentionLimits
from imagegen.pipeline.image_spec import image_count
from imagegen.sandbox.telegram import Trouble, errors
from imagegen.storage.filesystem import FilesystemImageStore
from imagegen.workflows.library import load_workflows
from tests.support.conversations import Sessions, turn
from tests.support.image_screens import FixedImageScreen
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct
from tests.support.status_messages import put_status

USER = 7
DAY_S = 86_400.0
PRIVATE: dict[str, Any] = {"user_id": USER, "chat_id": USER}
STORY = {"story": "a week by the sea", "text": "we sit on the beach"}
UNREADABLE = Trouble(refusal=errors.image_process_failed())


@pytest.fixture
def personas_dir(tmp_path: Path) -> Path:
    """Return a folder in which Lina has three pictures a request."""
    own = tmp_path / "personas" / "lina"
    own.mkdir(parents=True)
    shipped = (resources.path("workflows") / "lina" / "persona.toml").read_text("utf-8")
    (own / "persona.toml").write_text(f"images_per_request = 3\n{shipped}", encoding="utf-8")
    return own.parent


def stored(home: Path) -> list[Path]:
    return sorted(path for path in (home / "images").rglob("*") if path.is_file())


async def delivered(product: RunningProduct, **changes: Any) -> Request:
    request = await product.hook.ask(turn(**{**PRIVATE, **changes}))
    assert isinstance(request, Request)
    picture = await product.hook.wait(request, timeout=PATIENCE_S)
    assert picture.state is State.DELIVERED, picture
    return request


async def outcomes(sessions: Sessions) -> list[tuple[str, int]]:
    """Return of each send its outcome, and how many messages it has brought."""
    async with sessions() as session:
        sends = (await session.execute(select(Delivery).order_by(Delivery.id))).scalars()
        return [
            (
                send.outcome,
                sum(
                    each is not None for each in (send.message_id, *(send.album_message_ids or ()))
                ),
            )
            for send in sends
        ]


async def test_an_album_is_one_prompt_and_one_group_with_one_caption(
    products: ProductFactory, sessions: Sessions, personas_dir: Path, tmp_path: Path
) -> None:
    async with products.start(
        personas_dir=personas_dir, delivery_buttons="another", delivery_buttons_under="all"
    ) as product:
        picture = await product.picture(caption="Look!")

        sent = product.telegram.sent
        (posted,) = product.hosts[0].posted
    assert picture.state is State.DELIVERED
    assert [message.caption for message in sent] == ["Look!", None, None]
    assert len({message.media_group_id for message in sent} - {None}) == 1
    assert all(message.reply_markup is None for message in sent)
    assert len({message.photo for message in sent}) == 3
    assert picture.telegram_message_id == sent[0].message_id
    assert [
        node["inputs"]["batch_size"]
        for node in posted.graph.values()
        if "batch_size" in node["inputs"]
    ] == [3]
    assert len(stored(tmp_path)) == 3
    assert await outcomes(sessions) == [("sent", 3)]


async def test_above_safe_each_picture_has_a_spoiler(
    products: ProductFactory, personas_dir: Path
) -> None:
    async with products.start(personas_dir=personas_dir, max_rating="suggestive") as product:
        await product.hook.confirm_age(USER)

        await delivered(product, rating=Rating.SUGGESTIVE, chat_type="private")

        assert [message.has_spoiler for message in product.telegram.sent] == [True] * 3


async def test_an_album_that_was_drawn_before_is_sent_by_its_file_ids(
    products: ProductFactory, personas_dir: Path
) -> None:
    async with products.start(personas_dir=personas_dir, seed_mode="story") as product:
        await product.picture(**STORY)
        await product.picture(**STORY)

        sent = product.telegram.sent
        assert len(product.hosts[0].posted) == 1
        assert [m.file_id for m in sent[:3]] == [m.file_id for m in sent[3:]]
        assert len({message.media_group_id for message in sent}) == 2


async def test_a_single_picture_is_not_taken_for_an_album(
    products: ProductFactory, personas_dir: Path
) -> None:
    async with products.start(seed_mode="story") as product:
        await product.picture(**STORY)
    async with products.start(seed_mode="story", personas_dir=personas_dir) as product:
        await product.picture(**STORY)

        assert len(product.telegram.sent) == 3


@pytest.mark.parametrize(("refusals", "kind"), [(1, "photo"), (2, "document")])
async def test_all_pictures_of_an_album_have_the_form_that_telegram_accepts(
    products: ProductFactory, personas_dir: Path, refusals: int, kind: str
) -> None:
    async with products.start(personas_dir=personas_dir) as product:
        product.telegram.script(*[UNREADABLE] * refusals, method="sendMediaGroup")

        await product.picture()

        sent = product.telegram.sent
        assert len(sent) == 3
        assert all(getattr(message, kind) is not None for message in sent)


async def test_an_album_whose_send_is_unknown_is_sent_once_more_and_all_is_told(
    products: ProductFactory, sessions: Sessions, personas_dir: Path
) -> None:
    async with products.start(personas_dir=personas_dir) as product:
        product.telegram.script(Trouble.drop(is_accepted=True), method="sendMediaGroup")

        await product.picture()

        assert len(product.telegram.sent) == 6
    assert await outcomes(sessions) == [("unknown", 0), ("sent", 3)]


async def test_an_album_that_waits_is_sent_whole_from_the_store(
    products: ProductFactory, sessions: Sessions, personas_dir: Path
) -> None:
    async with products.start(personas_dir=personas_dir) as product:
        product.telegram.script(Trouble.restarting(), method="sendMediaGroup")

        await product.picture()

        assert len(product.telegram.sent) == 3
        assert len(product.hosts[0].posted) == 1
    assert await outcomes(sessions) == [("not_sent", 0), ("sent", 3)]


async def test_the_status_message_gives_way_to_an_album(
    products: ProductFactory, personas_dir: Path
) -> None:
    async with products.start(works=False, personas_dir=personas_dir) as product:
        request = await product.hook.ask(turn(**PRIVATE))
        assert isinstance(request, Request)
        await put_status(product, chat_id=USER)
        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

        chat = product.telegram.chats.current[USER].values()
        deleted = [call for call in product.telegram.calls if call.method == "deleteMessage"]
    assert picture.state is State.DELIVERED
    assert len(deleted) == 1
    assert [message.media_group_id is not None for message in chat] == [True] * 3


async def test_the_screen_sees_each_picture_and_refuses_the_album(
    products: ProductFactory, personas_dir: Path, tmp_path: Path
) -> None:
    seen = FixedImageScreen(passes=True)
    async with products.start(personas_dir=personas_dir, image_screen=seen) as product:
        await product.picture()
    refusing = FixedImageScreen(passes=False)
    async with products.start(personas_dir=personas_dir, image_screen=refusing) as product:
        refused = await product.picture(dialog_id=2)

    assert len({data for data, _ in seen.seen}) == 3
    assert refused.state is State.REFUSED
    assert len(stored(tmp_path)) == 3


@pytest.mark.parametrize(("kind", "count"), [(Kind.ASKED, 3), (Kind.VARIATION, 3), (Kind.COVER, 1)])
def test_albums_are_of_dialogs(kind: Kind, count: int, personas_dir: Path) -> None:
    library = load_workflows(resources.path("workflows"), personas_dir)

    assert image_count(kind, library.find("lina").persona) == count


async def test_any_message_of_an_album_names_its_request_and_hiding_it_deletes_all(
    products: ProductFactory, sessions: Sessions, personas_dir: Path
) -> None:
    async with products.start(personas_dir=personas_dir) as product:
        request = await delivered(product)
        sent = product.telegram.sent
        photo = SentPhoto(chat_id=USER, message_id=sent[2].message_id)
        assert await product.hook.status(photo) == await product.hook.status(request)

        await product.hook.on_button(
            Button.HIDE.data(request.id), user_id=USER, chat_id=USER, language="en"
        )

        async with sessions() as session:
            listed = (await session.execute(select(ForgottenMessage.message_id))).scalars().all()
    assert sorted(listed) == sorted(message.message_id for message in sent)


async def test_the_file_of_an_album_is_an_album_of_files(
    products: ProductFactory, personas_dir: Path
) -> None:
    async with products.start(personas_dir=personas_dir) as product:
        request = await delivered(product)

        answer = await product.hook.on_button(
            Button.FILE.data(request.id), user_id=USER, chat_id=USER, language="en"
        )
        assert answer is not None
        assert answer.request is not None
        await product.hook.wait(answer.request, timeout=PATIENCE_S)

        files = product.telegram.sent[3:]
        assert len({message.document for message in files} - {None}) == 3
        assert len({message.media_group_id for message in files}) == 1


async def test_of_a_forgotten_user_all_images_go_and_all_messages_are_told(
    products: ProductFactory, personas_dir: Path, engine: AsyncEngine, tmp_path: Path
) -> None:
    async with products.start(personas_dir=personas_dir) as product:
        await delivered(product)
        sent = product.telegram.sent

        forgotten = await product.hook.forget_user(USER)

    assert forgotten.pictures == 3
    assert {photo.message_id for photo in forgotten.photos} == {m.message_id for m in sent}
    store = FilesystemImageStore(tmp_path / "images")
    await ImageCleanup(engine, store, settled_s=0).erase_noted()
    assert stored(tmp_path) == []


async def test_clean_up_keeps_the_images_of_an_album_that_a_row_names(
    products: ProductFactory, personas_dir: Path, engine: AsyncEngine, tmp_path: Path
) -> None:
    async with products.start(personas_dir=personas_dir) as product:
        await product.picture()
    names = [path.name for path in stored(tmp_path)]
    store = FilesystemImageStore(tmp_path / "images")
    cleanup = ImageCleanup(engine, store, settled_s=0)
    async with engine.begin() as connection:
        await user_erasure.note_images(connection, names)

    counts = await cleanup.erase_noted()

    assert (counts.erased, counts.kept) == (0, 3)
    assert len(stored(tmp_path)) == 3


async def test_what_is_due_counts_and_erases_all_images(
    products: ProductFactory, personas_dir: Path, engine: AsyncEngine, tmp_path: Path
) -> None:
    async with products.start(personas_dir=personas_dir) as product:
        await product.picture()
    async with engine.begin() as connection:
        long_ago = func.now() - timedelta(days=40)
        await connection.execute(update(ImageRequest).values(finished_at=long_ago))
    store = FilesystemImageStore(tmp_path / "images")
    limits = RetentionLimits(context_s=DAY_S, requests_s=90 * DAY_S, images_s=30 * DAY_S)
    retention = Retention(engine, ImageCleanup(engine, store, settled_s=0), limits)

    due = await retention.count_due()
    await retention.erase_all_due()

    assert due.pictures == 3
    assert stored(tmp_path) == []
