"""Opens the image store that an address names."""

from imagegen.storage.filesystem import FilesystemImageStore
from imagegen.storage.s3 import S3Access, S3ImageStore
from imagegen.storage.store import ImageStore


def open_store(
    url: str, *, url_base: str | None, url_valid_s: float, access: S3Access
) -> ImageStore:
    """Open the store at a `file://` or `s3://` address; opens no connection.

    Makes the directory of a `file://` address if it does not exist. `url_base`: the address under
    which a web server publishes the images, None if there is none. `url_valid_s`: how long a
    presigned address of a bucket is valid, in seconds.

    Raises:
        OSError: the directory cannot be made or written.
        ValueError: the bucket's address or settings are wrong.
    """
    if _is_bucket(url):
        return S3ImageStore.at(url, access, url_base=url_base, url_valid_s=url_valid_s)
    return FilesystemImageStore.at(url, url_base=url_base)


def open_store_if_present(
    url: str, *, url_base: str | None, url_valid_s: float, access: S3Access
) -> ImageStore | None:
    """Open a store without making its directory; None if the directory is not on this machine.

    Raises:
        ValueError: the bucket's address or settings are wrong.
    """
    if _is_bucket(url):
        return S3ImageStore.at(url, access, url_base=url_base, url_valid_s=url_valid_s)
    return FilesystemImageStore.if_present(url)


def _is_bucket(url: str) -> bool:
    return url.startswith("s3:")
