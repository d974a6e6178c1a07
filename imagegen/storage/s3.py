"""The image store in a bucket of S3 or of what speaks like it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store
from pydantic import SecretStr

from imagegen.image_file import ImageFile
from imagegen.storage.store import (
    ImageLost,
    StoredImage,
    StoreUnavailable,
    image_name,
    is_image_name,
    verified,
)

if TYPE_CHECKING:
    from obstore.store import S3Config

# Of each try, of all tries, and of the whole however they add up.
_TRY_S, _RETRY_S, _WITHIN_S = 10, 15, 30.0
_CONNECT_S = 3
_RETRIES = 2


@dataclass(frozen=True, kw_only=True)
class S3Access:
    """How a bucket is reached; what is left out, obstore finds as AWS's own tools would."""

    endpoint: str | None = None
    region: str | None = None
    key_id: SecretStr | None = None
    key: SecretStr | None = None


class S3ImageStore:
    """Keeps pictures as objects, each of which S3 writes whole or not at all.

    By obstore's blocking calls in threads: a process that ends right after one of its awaitable
    calls is aborted, since a thread of its own still wants the interpreter.
    """

    def __init__(
        self, store: S3Store, *, name: str, url_base: str | None = None, url_valid_s: float
    ) -> None:
        self._store = store
        self._name = name
        self._url_base = url_base
        self._url_valid = timedelta(seconds=url_valid_s)

    @classmethod
    def at(cls, url: str, access: S3Access, *, url_base: str | None, url_valid_s: float) -> Self:
        """Open the store at `s3://bucket/prefix`; touches no network. Raises ValueError."""
        parts = urlsplit(url)
        store = S3Store(
            parts.netloc,
            prefix=unquote(parts.path.strip("/")) or None,
            config=_config(access),
            client_options={
                "allow_http": (access.endpoint or "").startswith("http://"),
                "connect_timeout": timedelta(seconds=_CONNECT_S),
                "timeout": timedelta(seconds=_TRY_S),
            },
            retry_config={
                "max_retries": _RETRIES,
                "retry_timeout": timedelta(seconds=_RETRY_S),
            },
        )
        return cls(store, name=parts.netloc, url_base=url_base, url_valid_s=url_valid_s)

    def url(self, name: str) -> str | None:
        if self._url_base is not None:
            return f"{self._url_base.rstrip('/')}/{_key(name)}"
        return obstore.sign(self._store, "GET", _key(name), self._url_valid)

    async def put(self, picture: ImageFile) -> StoredImage:
        name = image_name(picture)
        async with self._reached("takes no picture"):
            attributes = {"Content-Type": f"image/{picture.format}"}
            await asyncio.to_thread(
                obstore.put,
                self._store,
                _key(name),
                picture.data,
                attributes=attributes,
                use_multipart=False,
            )
        return StoredImage(name=name, width=picture.width, height=picture.height)

    async def get(self, name: str) -> bytes:
        try:
            async with self._reached("gives no picture"):
                data = await asyncio.to_thread(self._read, _key(name))
        except FileNotFoundError:
            raise ImageLost(f"the stored picture {name} is gone") from None
        return verified(name, data)

    async def has(self, name: str) -> bool:
        return await self._age_s(_key(name)) is not None

    async def erase(self, name: str, *, older_than_s: float) -> bool:
        return await self._erase(_key(name), older_than_s)

    async def stale(self, folder: str, *, older_than_s: float) -> Sequence[str]:
        before = datetime.now(UTC) - timedelta(seconds=older_than_s)
        async with self._reached("can't be listed"):
            old = await asyncio.to_thread(self._list, folder, before)
        return [name for name in old if is_image_name(name)]

    async def erase_stale(self, folder: str, name: str, *, older_than_s: float) -> bool:
        return await self._erase(f"{folder}/{name}", older_than_s)

    def _read(self, key: str) -> bytes:
        return bytes(obstore.get(self._store, key).bytes())

    def _list(self, folder: str, before: datetime) -> Sequence[str]:
        return [
            item["path"].rpartition("/")[2]
            for batch in obstore.list(self._store, prefix=folder)
            for item in batch
            if item["last_modified"] <= before
        ]

    async def _erase(self, key: str, older_than_s: float) -> bool:
        age_s = await self._age_s(key)
        if age_s is None:
            return True
        if age_s < older_than_s:
            return False
        async with self._reached("erases no picture"):
            await asyncio.to_thread(obstore.delete, self._store, key)
        return True

    async def _age_s(self, key: str) -> float | None:
        try:
            async with self._reached("can't be read"):
                found = await asyncio.to_thread(obstore.head, self._store, key)
        except FileNotFoundError:
            return None
        return (datetime.now(UTC) - found["last_modified"]).total_seconds()

    @asynccontextmanager
    async def _reached(self, what: str) -> AsyncIterator[None]:
        """Turn what obstore raises into a sentence of ours: its own name addresses and keys."""
        try:
            async with asyncio.timeout(_WITHIN_S):
                yield
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise StoreUnavailable(f"there is no bucket {self._name}") from None
            raise
        except (BaseError, OSError, TimeoutError) as error:
            why = type(error).__name__.removesuffix("Error")
            raise StoreUnavailable(f"the bucket {self._name} {what}: {why}") from None


def _key(name: str) -> str:
    return f"{name[:2]}/{name}"


def _config(access: S3Access) -> "S3Config":
    given: S3Config = {"virtual_hosted_style_request": False} if access.endpoint else {}
    if access.endpoint:
        given["endpoint"] = access.endpoint
    if access.region:
        given["region"] = access.region
    if access.key_id is not None and access.key is not None:
        given["access_key_id"] = access.key_id.get_secret_value()
        given["secret_access_key"] = access.key.get_secret_value()
    return given
