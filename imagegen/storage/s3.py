"""An image store in a bucket of S3, or of a server with the same API."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store
from pydantic import SecretStr

from imagegen.image_file import ImageFile
from imagegen.storage.store import (
    OPERATION_TIMEOUT_S,
    ImageLost,
    StoredImage,
    StoreUnavailable,
    image_name,
    is_image_name,
    verified,
)
from imagegen.storage.threads import StoreThreads

if TYPE_CHECKING:
    from obstore.store import S3Config

# obstore's own timeouts: for connecting, for each try, and for all tries together.
_CONNECT_TIMEOUT_S = 3
_TRY_TIMEOUT_S = 10
_RETRY_TIMEOUT_S = 15
_MAX_RETRIES = 2
# What obstore's text says of a cause that its exceptions do not name, and what to do.
_REASONS = {
    "ConnectionRefused": "refuses the connection: look at AWS_ENDPOINT_URL",
    "dns error": "has a host name that is not known: look at AWS_ENDPOINT_URL",
    "TimedOut": "does not answer in time: look at AWS_ENDPOINT_URL",
    "timed out": "does not answer in time: look at AWS_ENDPOINT_URL",
    "certificate": "has a certificate that is not trusted",
    "InvalidAccessKeyId": "does not know the key: look at AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "does not accept the secret: look at AWS_SECRET_ACCESS_KEY",
    "AccessDenied": "does not let this key in: look at its rights to the bucket",
}
# An object that is no image: it is in none of the store's folders.
_TRIAL_KEY = "writable"


@dataclass(frozen=True, kw_only=True)
class S3Access:
    """Address and credentials of a bucket. obstore looks up what is None as AWS's own tools do."""

    endpoint: str | None = None
    region: str | None = None
    key_id: SecretStr | None = None
    key: SecretStr | None = None


class S3ImageStore:
    """Keeps images as objects. S3 writes each object whole or not at all.

    Uses obstore's blocking calls in threads: a process that ends right after one of its awaitable
    calls is aborted, because a thread of obstore still needs the interpreter.
    """

    def __init__(
        self,
        store: S3Store,
        *,
        bucket: str,
        server: str,
        url_base: str | None = None,
        url_valid_s: float,
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._server = server
        self._url_base = url_base
        self._url_valid = timedelta(seconds=url_valid_s)
        # Our limit for a whole call, however obstore's timeouts add up. A process that ends while
        # obstore works would be aborted.
        self._threads = StoreThreads(timeout_s=OPERATION_TIMEOUT_S, are_daemons=False)

    @classmethod
    def at(cls, url: str, access: S3Access, *, url_base: str | None, url_valid_s: float) -> Self:
        """Open the store at `s3://bucket/prefix`; opens no connection.

        Raises:
            ValueError: the address or the settings are wrong.
        """
        parts = urlsplit(url)
        store = S3Store(
            parts.netloc,
            prefix=unquote(parts.path.strip("/")) or None,
            config=_config(access),
            client_options={
                "allow_http": (access.endpoint or "").startswith("http://"),
                "connect_timeout": timedelta(seconds=_CONNECT_TIMEOUT_S),
                "timeout": timedelta(seconds=_TRY_TIMEOUT_S),
            },
            retry_config={
                "max_retries": _MAX_RETRIES,
                "retry_timeout": timedelta(seconds=_RETRY_TIMEOUT_S),
            },
        )
        return cls(
            store,
            bucket=parts.netloc,
            server=_server(access.endpoint),
            url_base=url_base,
            url_valid_s=url_valid_s,
        )

    def url(self, name: str) -> str | None:
        if self._url_base is not None:
            return f"{self._url_base.rstrip('/')}/{_key(name)}"
        return obstore.sign(self._store, "GET", _key(name), self._url_valid)

    async def put(self, image: ImageFile) -> StoredImage:
        name = image_name(image)
        async with self._operation("takes no picture"):
            await self._threads.call(
                partial(
                    obstore.put,
                    self._store,
                    _key(name),
                    image.data,
                    attributes={"Content-Type": f"image/{image.format}"},
                    use_multipart=False,
                )
            )
        return StoredImage(name=name, width=image.width, height=image.height)

    async def check_writable(self) -> None:
        async with self._operation("takes no picture"):
            await self._threads.try_out(self._write_trial_object)

    async def free_bytes(self) -> None:
        """Return None: a bucket has no limit that could be asked for."""

    async def get(self, name: str) -> bytes:
        """Return the bytes of an image.

        Raises:
            ImageLost: the image is gone or damaged.
        """
        try:
            async with self._operation("gives no picture"):
                data = await self._threads.call(partial(self._read, _key(name)))
        except FileNotFoundError:
            raise ImageLost(f"the stored picture {name} is gone") from None
        return verified(name, data)

    async def has(self, name: str) -> bool:
        return await self._age_s(_key(name)) is not None

    async def erase(self, name: str, *, older_than_s: float) -> bool:
        return await self._erase(_key(name), older_than_s)

    async def stale(self, folder: str, *, older_than_s: float) -> Sequence[str]:
        before = datetime.now(UTC) - timedelta(seconds=older_than_s)
        async with self._operation("can't be listed"):
            old = await self._threads.call(partial(self._list, folder, before))
        return [name for name in old if is_image_name(name)]

    async def erase_stale(self, folder: str, name: str, *, older_than_s: float) -> bool:
        return await self._erase(f"{folder}/{name}", older_than_s)

    async def protect(self, folder: str) -> None:
        """Do nothing: an object is put without an ACL, so the bucket alone decides who may read."""

    def _write_trial_object(self) -> None:
        obstore.put(self._store, _TRIAL_KEY, b"", use_multipart=False)
        self._read(_TRIAL_KEY)
        obstore.delete(self._store, _TRIAL_KEY)

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
        async with self._operation("erases no picture"):
            await self._threads.call(partial(obstore.delete, self._store, key))
        return True

    async def _age_s(self, key: str) -> float | None:
        try:
            async with self._operation("can't be read"):
                metadata = await self._threads.call(partial(obstore.head, self._store, key))
        except FileNotFoundError:
            return None
        return (datetime.now(UTC) - metadata["last_modified"]).total_seconds()

    @asynccontextmanager
    async def _operation(self, failure: str) -> AsyncIterator[None]:
        """Turn obstore's errors, and an operation that takes too long, into our errors.

        The text of obstore's errors contains addresses and keys, so it is not passed on. `failure`
        says what the bucket does not do. FileNotFoundError for a missing object comes through.
        """
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise StoreUnavailable(f"there is no bucket {self._bucket}") from None
            raise
        except (BaseError, OSError, TimeoutError) as error:
            raise StoreUnavailable(
                f"the bucket {self._bucket} {failure}: {_reason(error, self._server)}"
            ) from None


def _server(endpoint: str | None) -> str:
    """Return the server's address without path, user and password."""
    if endpoint is None:
        return "AWS"
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _reason(error: Exception, server: str) -> str:
    text = str(error)
    reason = next((said for word, said in _REASONS.items() if word in text), None)
    if isinstance(error, TimeoutError):
        reason = f"does not answer within {OPERATION_TIMEOUT_S:g} s"
    return f"{server} {reason or f'failed: {type(error).__name__}'}"


def _key(name: str) -> str:
    return f"{name[:2]}/{name}"


def _config(access: S3Access) -> "S3Config":
    config: S3Config = {"virtual_hosted_style_request": False} if access.endpoint else {}
    if access.endpoint:
        config["endpoint"] = access.endpoint
    if access.region:
        config["region"] = access.region
    if access.key_id is not None and access.key is not None:
        config["access_key_id"] = access.key_id.get_secret_value()
        config["secret_access_key"] = access.key.get_secret_value()
    return config
