"""The image store on a real disk."""

import asyncio
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagegen.image_file import ImageFile
from imagegen.storage.filesystem import FilesystemImageStore
from imagegen.storage.store import ImageLost, StoreUnavailable

PICTURE = ImageFile(data=b"\x89PNG picture", format="png", width=40, height=30)
NAME = "3ac8cbbb73be23fec3d2d8ddb2ac2ba5cdcbd2c8.png"

# A process that is killed after it has written the data and before it renames the file.
KILLED = """
import asyncio, os, pathlib, signal, sys
from imagegen.image_file import ImageFile
from imagegen.storage.filesystem import FilesystemImageStore

sys.addaudithook(
    lambda event, _: event == "os.rename" and os.kill(os.getpid(), signal.SIGKILL)
)
store = FilesystemImageStore(pathlib.Path(sys.argv[1]))
asyncio.run(store.put(ImageFile(data=b"half", format="png", width=1, height=1)))
"""


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    tmp_path.chmod(0o500)
    return tmp_path


async def test_a_stored_picture_comes_back_as_it_was(tmp_path: Path) -> None:
    store = FilesystemImageStore(tmp_path)

    image = await store.put(PICTURE)

    assert await store.get(image.name) == PICTURE.data
    assert (image.width, image.height) == (40, 30)
    assert image.name.endswith(".png")


async def test_the_same_picture_is_kept_once(tmp_path: Path) -> None:
    store = FilesystemImageStore(tmp_path)

    first = await store.put(PICTURE)
    second = await store.put(PICTURE)

    assert first == second
    assert _files(tmp_path) == [tmp_path / first.name[:2] / first.name]


async def test_many_writers_of_one_picture_do_not_disturb_each_other(tmp_path: Path) -> None:
    stores = [FilesystemImageStore(tmp_path) for _ in range(20)]

    images = await asyncio.gather(*(store.put(PICTURE) for store in stores))

    assert len(set(images)) == 1
    assert await stores[0].get(images[0].name) == PICTURE.data
    assert len(_files(tmp_path)) == 1


async def test_a_picture_that_is_gone_is_lost(tmp_path: Path) -> None:
    store = FilesystemImageStore(tmp_path)

    with pytest.raises(ImageLost, match="is gone") as caught:
        await store.get(NAME)

    assert caught.value.code == "image_lost"


@pytest.mark.parametrize("left", [b"", b"\x89PNG pict", b"something else"])
async def test_a_damaged_picture_is_lost(tmp_path: Path, left: bytes) -> None:
    store = FilesystemImageStore(tmp_path)
    image = await store.put(PICTURE)
    _path(tmp_path, image.name).write_bytes(left)

    with pytest.raises(ImageLost, match="is damaged"):
        await store.get(image.name)


async def test_a_damaged_picture_is_made_good_when_it_is_stored_again(tmp_path: Path) -> None:
    store = FilesystemImageStore(tmp_path)
    image = await store.put(PICTURE)
    _path(tmp_path, image.name).write_bytes(b"")

    await store.put(PICTURE)

    assert await store.get(image.name) == PICTURE.data


async def test_a_stored_picture_and_its_names_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, synced = os.fsync, list[Path]()

    def noting(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    store = FilesystemImageStore(tmp_path)

    first = await store.put(PICTURE)
    folder = _path(tmp_path, first.name).parent
    in_new_folder, synced[:] = [*synced], []
    await store.put(PICTURE)

    root, file, names = in_new_folder
    assert (root, file.parent, names) == (tmp_path, folder, folder)
    assert synced[1:] == [folder]


async def test_a_directory_that_takes_nothing_is_named(tmp_path: Path) -> None:
    # A file stands where a directory is needed, so that even root cannot write there.
    store = FilesystemImageStore(tmp_path / "images")
    (tmp_path / "images").write_text("in the way")

    with pytest.raises(StoreUnavailable) as caught:
        await store.put(PICTURE)

    assert caught.value.code == "store_unavailable"
    assert not caught.value.costs_an_attempt
    assert f"{tmp_path}/images" in caught.value.sentence
    assert os.strerror(errno.ENOTDIR) in caught.value.sentence


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
async def test_a_read_only_directory_is_named(read_only: Path) -> None:
    with pytest.raises(StoreUnavailable, match="Permission denied"):
        await FilesystemImageStore(read_only).put(PICTURE)


async def test_a_file_that_cannot_be_read_is_no_lost_picture(tmp_path: Path) -> None:
    _path(tmp_path, NAME).mkdir(parents=True)

    with pytest.raises(StoreUnavailable):
        await FilesystemImageStore(tmp_path).get(NAME)


async def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    store = FilesystemImageStore(tmp_path)
    image = await store.put(PICTURE)
    path = _path(tmp_path, image.name)
    path.unlink()
    # A directory has the image's name: the temporary file is written but cannot be renamed.
    (path / "in the way").mkdir(parents=True)

    with pytest.raises(StoreUnavailable):
        await store.put(PICTURE)

    assert _files(tmp_path) == []


def test_a_killed_writer_leaves_no_half_picture_under_its_name(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=30)

    assert ended.returncode < 0
    assert [path for path in _files(tmp_path) if path.suffix == ".png"] == []


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_umask")
async def test_nobody_else_can_read_the_pictures(tmp_path: Path) -> None:
    root = tmp_path / "images"

    image = await FilesystemImageStore.at(root.as_uri()).put(PICTURE)

    path = _path(root, image.name)
    assert [_mode(each) for each in (root, path.parent, path)] == [0o700, 0o700, 0o600]


@pytest.mark.usefixtures("_umask")
async def test_a_web_server_can_read_published_pictures_and_cannot_list_them(
    tmp_path: Path,
) -> None:
    root = tmp_path / "images"

    store = FilesystemImageStore.at(root.as_uri(), url_base="https://pics.example")
    image = await store.put(PICTURE)

    path = _path(root, image.name)
    assert [_mode(each) for each in (root, path.parent, path)] == [0o711, 0o711, 0o644]


@pytest.mark.parametrize("url_base", [None, "https://pics.example"])
async def test_what_an_earlier_version_has_stored_is_protected_too(
    tmp_path: Path, url_base: str | None
) -> None:
    root = tmp_path / "images"
    name = (await FilesystemImageStore.at(root.as_uri()).put(PICTURE)).name
    path = _path(root, name)
    foreign = path.with_name("README.txt")
    foreign.write_text("not ours")
    for each, mode in ((root, 0o755), (path.parent, 0o755), (path, 0o640), (foreign, 0o604)):
        each.chmod(mode)

    store = FilesystemImageStore.at(root.as_uri(), url_base=url_base)
    await store.protect(name[:2])
    await store.protect("00" if name[:2] != "00" else "01")  # a folder that does not exist

    expected = [0o700, 0o700, 0o600] if url_base is None else [0o711, 0o711, 0o644]
    assert [_mode(each) for each in (root, path.parent, path)] == expected
    assert _mode(foreign) == 0o604


def test_the_store_is_made_where_its_url_says(tmp_path: Path) -> None:
    FilesystemImageStore.at(f"file://{tmp_path}/with%20space/images")

    assert (tmp_path / "with space" / "images").is_dir()


@pytest.mark.parametrize("base", ["https://pics.example/a", "https://pics.example/a/"])
def test_a_served_picture_has_a_url(tmp_path: Path, base: str) -> None:
    store = FilesystemImageStore(tmp_path, url_base=base)

    assert store.url(NAME) == f"https://pics.example/a/3a/{NAME}"


def test_a_picture_that_nobody_serves_has_none(tmp_path: Path) -> None:
    assert FilesystemImageStore(tmp_path).url(NAME) is None


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _path(root: Path, name: str) -> Path:
    return root / name[:2] / name


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]
