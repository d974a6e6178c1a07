"""Opens the image store that an address names."""

from imagegen.storage.filesystem import FilesystemImageStore
from imagegen.storage.s3 import S3Access, S3ImageStore
from imagegen.storage.store import ImageStore


def open_store(
    url: str, *, url_base: str | None, url_valid_s: float, access: S3Access
) -> ImageStore:
    """Open the store at a `file://` or `s3://` address; touches no network.

    Makes the directory of a `file://` address if it is not there. `url_base` is the address under
    which the store is served, if it is. `url_valid_s`: how long a presigned address holds.

    Raises:
        OSError: the directory can't be made or written.
    """
    if _is_bucket(url):
        return S3ImageStore.at(url, access, url_base=url_base, url_valid_s=url_valid_s)
    return FilesystemImageStore.at(url, url_base=url_base)


def open_store_if_present(
    url: str, *, url_base: str | None, url_valid_s: float, access: S3Access
) -> ImageStore | None:
    """Open a store that can be reached from this machine; None for a directory that is not here."""
    if _is_bucket(url):
        return S3ImageStore.at(url, access, url_base=url_base, url_valid_s=url_valid_s)
    return FilesystemImageStore.there(url)


def _is_bucket(url: str) -> bool:
    return url.startswith("s3:")
