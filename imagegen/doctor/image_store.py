"""The image store: whether it takes a few bytes and gives them back; its account, its free space."""

import os
from pathlib import Path

from imagegen.bootstrap import image_store_if_present
from imagegen.doctor.finding import DoctorFinding, Findings, green, red, yellow
from imagegen.settings import StoreSettings
from imagegen.storage.filesystem import directory_of
from imagegen.storage.store import StoreUnavailable

_GIB = 2**30
LEAST_FREE_BYTES = _GIB


async def check(settings: StoreSettings, *, least_free_bytes: int = LEAST_FREE_BYTES) -> Findings:
    """Yield whether images can be stored; nothing is left behind, and no directory is made."""
    url = settings.image_store
    try:
        store = image_store_if_present(settings)
    except ValueError as error:
        yield red(f"{url} cannot be used: {error}", "correct IMAGE_STORE and AWS_ENDPOINT_URL")
        return
    if store is None:
        yield _of_missing_directory(directory_of(url))
        return
    try:
        await store.check_writable()
        free_bytes = await store.free_bytes()
    except StoreUnavailable as error:
        yield red(error.sentence, _advice(url))
        return
    if free_bytes is None:
        yield green(f"{url} takes, gives and erases a few bytes")
        return
    if free_bytes < least_free_bytes:
        yield yellow(
            f"{url} has {free_bytes / _GIB:.1f} GiB left",
            "free or add space; IMAGES_RETENTION_DAYS says how long images are kept",
        )
    directory = directory_of(url)
    # Without a wait: a directory that hangs has not come so far.
    if (owner := directory.stat().st_uid) != os.geteuid():
        yield yellow(
            f"{directory} belongs to the account {owner}, and this was asked by {os.geteuid()}",
            "run `imagegen doctor` under the worker's account: it may have other rights there",
        )
    yield green(f"{url} takes, gives and erases a few bytes; {free_bytes / _GIB:.1f} GiB are free")


def _advice(url: str) -> str:
    if url.startswith("file:"):
        return (
            "free space there (df -h), mount it for writing, or give the worker's account the "
            "right to write; `imagegen purge` erases what is old enough"
        )
    return (
        "correct IMAGE_STORE and the AWS_ settings, or give the key the right to put, get, delete"
    )


def _of_missing_directory(directory: Path) -> DoctorFinding:
    nearest = next(parent for parent in directory.parents if parent.exists())
    if os.access(nearest, os.W_OK | os.X_OK):
        return yellow(
            f"{directory} is not there yet",
            "nothing: a worker on this machine makes it at its start",
        )
    return red(
        f"{directory} is not there, and this account may not make it in {nearest}",
        f"make it, and give it to the worker's account: install -d -o ACCOUNT {directory}",
    )
