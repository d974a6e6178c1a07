"""Environment → frozen StoreSettings: where pictures are kept, and how long things are."""

from typing import Annotated

from pydantic import AfterValidator, Field, HttpUrl
from pydantic_settings import BaseSettings, SettingsConfigDict

from imagegen.retention import Limits

_STORE = "file:///an/absolute/directory"
_DAY_S = 86_400.0


def _a_directory_url(value: str) -> str:
    if not value.startswith("file:///"):
        raise ValueError("not a file:/// address")
    return value


_Days = Annotated[float, Field(ge=0, le=36_500, description="a number of days, 0 for ever")]


class StoreSettings(BaseSettings):
    """What whoever tidies up needs. Names are those of the variables, in lower case."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    image_store: Annotated[str, AfterValidator(_a_directory_url), Field(description=_STORE)] = (
        "file:///var/lib/chatflow-imagegen/images"
    )
    image_url_base: Annotated[
        HttpUrl | None, Field(description="the http(s) address under which the store is served")
    ] = None
    # As long as a failed request can be drawn again.
    context_retention: Annotated[
        float,
        Field(ge=0, le=31_536_000, description="a number of seconds, 0 to erase it at once"),
    ] = _DAY_S
    requests_retention_days: _Days = 90.0
    images_retention_days: _Days = 30.0

    @property
    def limits(self) -> Limits:
        """How long what is kept."""
        return Limits(
            context_s=self.context_retention,
            requests_s=self.requests_retention_days * _DAY_S or None,
            images_s=self.images_retention_days * _DAY_S or None,
        )
