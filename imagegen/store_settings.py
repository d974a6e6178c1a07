"""Environment → frozen StoreSettings: where pictures are kept, and how long things are."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from chatflow_hook.settings import BadSetting
from imagegen.maintenance.retention import RetentionLimits
from imagegen.storage.filesystem import FilesystemImageStore
from imagegen.storage.s3 import S3Access, S3ImageStore
from imagegen.storage.store import ImageStore

_STORE = "file:///an/absolute/directory or s3://bucket/prefix"
_MOST_VALID_S = 604_800.0
_DAY_S = 86_400.0


def _a_store_url(value: str) -> str:
    if not (value.startswith("file:///") or (urlsplit(value).scheme == "s3" and _bucket(value))):
        raise ValueError("neither a file:/// nor an s3:// address")
    return value


def _bucket(url: str) -> str:
    parts = urlsplit(url)
    return "" if parts.query or parts.fragment or "@" in parts.netloc else parts.netloc


_Days = Annotated[float, Field(ge=0, le=36_500, description="a number of days, 0 for ever")]


class StoreSettings(BaseSettings):
    """What whoever tidies up needs. Names are those of the variables, in lower case."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    image_store: Annotated[str, AfterValidator(_a_store_url), Field(description=_STORE)] = (
        "file:///var/lib/chatflow-imagegen/images"
    )
    image_url_base: Annotated[
        HttpUrl | None, Field(description="the http(s) address under which the store is served")
    ] = None
    image_url_valid: Annotated[
        float,
        Field(ge=1, le=_MOST_VALID_S, description="a number of seconds, 604800 (a week) at most"),
    ] = _DAY_S
    # The names by which AWS's own tools know them.
    aws_endpoint_url: Annotated[
        HttpUrl | None, Field(description="the address of an S3 server, http:// or https://")
    ] = None
    aws_region: Annotated[str | None, Field(description="a region's name")] = None
    aws_access_key_id: Annotated[SecretStr | None, Field(description="a key's id")] = None
    aws_secret_access_key: Annotated[SecretStr | None, Field(description="a secret key")] = None
    # As long as a failed request can be drawn again.
    context_retention: Annotated[
        float,
        Field(ge=0, le=31_536_000, description="a number of seconds, 0 to erase it at once"),
    ] = _DAY_S
    requests_retention_days: _Days = 90.0
    images_retention_days: _Days = 30.0

    def images(self) -> ImageStore:
        """Open the store, making its directory. Raises BadSetting; touches no network."""
        if self._is_in_a_bucket:
            return self._in_a_bucket()
        try:
            return FilesystemImageStore.at(self.image_store, url_base=self._url_base)
        except OSError as error:
            raise BadSetting(
                f"IMAGE_STORE: got {self.image_store}, must be a directory that this user can "
                f"write to ({error.strerror})"
            ) from error

    def images_if_there(self) -> ImageStore | None:
        """Open a store that can be reached from this machine; None if it can't."""
        return (
            self._in_a_bucket()
            if self._is_in_a_bucket
            else FilesystemImageStore.there(self.image_store)
        )

    @property
    def _is_in_a_bucket(self) -> bool:
        return self.image_store.startswith("s3:")

    @property
    def _url_base(self) -> str | None:
        return None if self.image_url_base is None else str(self.image_url_base)

    def _in_a_bucket(self) -> S3ImageStore:
        access = S3Access(
            endpoint=None if self.aws_endpoint_url is None else str(self.aws_endpoint_url),
            region=self.aws_region,
            key_id=self.aws_access_key_id,
            key=self.aws_secret_access_key,
        )
        return S3ImageStore.at(
            self.image_store, access, url_base=self._url_base, url_valid_s=self.image_url_valid
        )

    @property
    def limits(self) -> RetentionLimits:
        """How long what is kept."""
        return RetentionLimits(
            context_s=self.context_retention,
            requests_s=self.requests_retention_days * _DAY_S or None,
            images_s=self.images_retention_days * _DAY_S or None,
        )
