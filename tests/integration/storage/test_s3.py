"""The image store in a bucket, on a real S3 server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from aiohttp import ClientSession
from obstore.store import S3Store

from chatflow_hook.settings import BadSetting, read
from chatflow_hook.tables import State
from imagegen.bootstrap import image_store
from imagegen.image_file import ImageFile
from imagegen.settings import StoreSettings
from imagegen.storage.store import ImageLost, ImageStore, StoreUnavailable
from tests.support import command, pictures, s3
from tests.support.conversations import Sessions
from tests.support.product import ProductFactory
from tests.support.s3 import S3

PICTURE = ImageFile(data=b"\x89PNG picture", format="png", width=40, height=30)
NAME = "3ac8cbbb73be23fec3d2d8ddb2ac2ba5cdcbd2c8.png"


@pytest.fixture
def bucket() -> Iterator[S3]:
    with s3.served() as running:
        yield running


@pytest.fixture
def store(bucket: S3) -> ImageStore:
    return image_store(bucket.settings())


async def test_a_stored_picture_comes_back_as_it_was(store: ImageStore) -> None:
    first = await store.put(PICTURE)
    second = await store.put(PICTURE)

    assert first == second
    assert await store.get(first.name) == PICTURE.data
    assert await store.has(first.name)
    assert not await store.has(NAME)


async def test_a_picture_that_is_gone_is_lost(store: ImageStore) -> None:
    with pytest.raises(ImageLost, match="is gone"):
        await store.get(NAME)


async def test_a_damaged_picture_is_lost_and_made_good_when_it_is_stored_again(
    bucket: S3, store: ImageStore
) -> None:
    image = await store.put(PICTURE)
    await obstore.put_async(_raw(bucket), f"of/лина/{image.name[:2]}/{image.name}", b"other")

    with pytest.raises(ImageLost, match="is damaged"):
        await store.get(image.name)
    await store.put(PICTURE)

    assert await store.get(image.name) == PICTURE.data


async def test_a_young_picture_is_not_erased_and_an_old_one_is(store: ImageStore) -> None:
    image = await store.put(PICTURE)

    assert not await store.erase(image.name, older_than_s=60)
    assert await store.has(image.name)
    assert await store.erase(image.name, older_than_s=0)
    assert not await store.has(image.name)
    assert await store.erase(image.name, older_than_s=0), "it is gone, whoever erased it"


async def test_old_ones_are_listed_by_folder_and_those_of_others_are_not(
    bucket: S3, store: ImageStore
) -> None:
    image = await store.put(PICTURE)
    folder = image.name[:2]
    await obstore.put_async(_raw(bucket), f"elsewhere/{folder}/foreign.png", b"not ours")
    await obstore.put_async(_raw(bucket), f"of/лина/{folder}/README.txt", b"not ours")

    assert await store.stale(folder, older_than_s=0) == [image.name]
    assert await store.stale(folder, older_than_s=60) == []
    assert await store.erase_stale(folder, image.name, older_than_s=0)
    assert await store.stale(folder, older_than_s=0) == []


async def test_a_presigned_url_gives_the_picture_to_anybody(store: ImageStore) -> None:
    image = await store.put(PICTURE)

    url = store.url(image.name)

    assert url is not None
    assert "secret-of-a-test" not in url
    async with ClientSession() as anybody, anybody.get(url) as answer:
        assert await answer.read() == PICTURE.data
        assert answer.content_type == "image/png"


async def test_without_a_signature_nobody_gets_a_picture(bucket: S3, store: ImageStore) -> None:
    image = await store.put(PICTURE)
    await store.protect(image.name[:2])

    address = f"{bucket.endpoint}/pictures/of/лина/{image.name[:2]}/{image.name}"
    async with ClientSession() as anybody, anybody.get(address) as answer:
        assert answer.status == 403


def test_a_bucket_that_is_served_elsewhere_is_not_presigned(bucket: S3) -> None:
    store = image_store(bucket.settings(image_url_base="https://pics.example/a"))

    assert store.url(NAME) == f"https://pics.example/a/3a/{NAME}"


async def test_a_bucket_that_is_not_there_is_named(bucket: S3) -> None:
    store = image_store(bucket.settings("s3://nowhere"))

    with pytest.raises(StoreUnavailable, match=r"^there is no bucket nowhere$"):
        await store.put(PICTURE)


async def test_whether_a_picture_could_be_stored_is_found_out_by_a_write(
    bucket: S3, store: ImageStore
) -> None:
    await store.check_writable()
    bucket.server.stop()

    with pytest.raises(StoreUnavailable):
        await store.check_writable()


async def test_a_server_that_is_gone_is_an_outage_and_no_lost_picture(
    bucket: S3, store: ImageStore
) -> None:
    bucket.server.stop()

    for step in (store.put(PICTURE), store.get(NAME), store.has(NAME)):
        with pytest.raises(StoreUnavailable, match=r"^the bucket pictures ") as caught:
            await step
        assert f": {bucket.endpoint} refuses the connection: look at" in caught.value.sentence
        assert "secret" not in caught.value.sentence


@pytest.mark.parametrize(
    "wrong", ["s3://", "s3:///prefix", "s3://key:secret@bucket", "s3://b?x=1", "http://b", "images"]
)
def test_what_is_no_store_is_refused_with_a_sentence(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGE_STORE", wrong)

    with pytest.raises(BadSetting, match=r"IMAGE_STORE: got .* or s3://bucket/prefix"):
        read(StoreSettings, _env_file=None)


async def test_a_worker_keeps_its_pictures_there_and_purges_them(
    bucket: S3, database_url: str, redis_url: str, sessions: Sessions, tmp_path: Path
) -> None:
    products = ProductFactory(database_url, redis_url, sessions, tmp_path)
    named: dict[str, Any] = {name.lower(): value for name, value in bucket.variables().items()}
    async with products.start(**named) as product:
        picture = await product.picture()
        async with ClientSession() as anybody, anybody.get(picture.url or "") as answer:
            downloaded = await answer.read()
        forgotten = await command.run(
            "forget", "1001", DATABASE_URL=database_url, **bucket.variables()
        )

    assert picture.state is State.DELIVERED
    assert picture.url is not None
    assert picture.url.startswith(bucket.endpoint)
    assert pictures.digital_source_type(downloaded) == pictures.AI_MADE
    assert (forgotten.code, forgotten.stderr) == (0, "")


def _raw(bucket: S3) -> S3Store:
    return S3Store(
        "pictures",
        config={
            "endpoint": bucket.endpoint,
            "region": "us-east-1",
            "access_key_id": "k",
            "secret_access_key": "s",
        },
        client_options={"allow_http": True},
    )
