"""Environment → frozen Settings: everything that the worker can be told."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, HttpUrl, SecretStr

from chatflow_hook.settings import BadSetting, HookSettings, read
from imagegen.host_settings import HostSettings, Seconds
from imagegen.picture_settings import PictureSettings
from imagegen.store_settings import StoreSettings
from imagegen.web_settings import WebSettings

_TOKEN = "the bot's token as BotFather gave it, digits:letters"  # noqa: S105 (a description)


def _a_bot_token(value: SecretStr) -> SecretStr:
    number, _, secret = value.get_secret_value().partition(":")
    if not (number.isdigit() and secret) or any(char.isspace() for char in secret):
        raise BadSetting("something else")
    return value


class Settings(HostSettings, PictureSettings, StoreSettings, WebSettings, HookSettings):
    """What the worker needs. Names are those of the variables, in lower case."""

    telegram_bot_token: Annotated[
        SecretStr, AfterValidator(_a_bot_token), Field(description=_TOKEN)
    ]
    telegram_api_url: Annotated[
        HttpUrl, Field(description="the address of a Bot API server, http:// or https://")
    ] = HttpUrl("https://api.telegram.org")
    telegram_timeout: Seconds = 60.0
    delivery_on_unknown: Annotated[
        Literal["resend", "skip"], Field(description="resend or skip")
    ] = "resend"

    max_concurrent_generations: Annotated[
        int | None, Field(ge=1, description="a whole number from 1; left out: all slots")
    ] = None
    generation_timeout: Seconds = 120.0
    request_max_age: Annotated[
        float, Field(ge=0, description="a number of seconds, 0 for no limit")
    ] = 900.0
    request_attempts: Annotated[int, Field(ge=1, le=100, description="1 to 100")] = 3
    request_crashes: Annotated[int, Field(ge=1, le=100, description="1 to 100")] = 5
    stop_grace: Annotated[
        float, Field(ge=0, le=86_400, description="a number of seconds from 0")
    ] = 30.0
    image_generation_frequency: Annotated[
        str | None, Field(description="nothing: it was never used")
    ] = None

    log_format: Annotated[Literal["json", "console"], Field(description="json or console")] = "json"

    @property
    def slots(self) -> int:
        """How many prompts may be on all hosts together."""
        every = len(self.comfyui_hosts) * self.comfyui_slots_per_host
        return min(every, self.max_concurrent_generations or every)

    @property
    def image_url(self) -> str | None:
        """Where the image store is served, if it is."""
        return None if self.image_url_base is None else str(self.image_url_base)


def from_env(**overrides: Any) -> Settings:
    """Read the settings. Raises BadSetting with a sentence that names the variable."""
    return read(Settings, **overrides)
