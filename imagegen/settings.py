"""Environment → frozen Settings: everything that the worker can be told."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, HttpUrl, SecretStr, model_validator
from pydantic_settings import NoDecode

from chatflow_hook.settings import BadSetting, HookSettings, read
from imagegen import shipped
from imagegen.comfy.address import HostAddress

_HOSTS = "host:port or https://host/prefix, separated by commas, each once"
_TOKEN = "the bot's token as BotFather gave it, digits:letters"  # noqa: S105 (a description)
_STORE = "file:///an/absolute/directory"
_SECONDS = "a number of seconds above 0"


def _hosts(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    hosts = tuple(HostAddress.parse(part) for part in value.split(",") if part.strip())
    if not hosts or len(set(hosts)) < len(hosts):
        raise ValueError("no host, or one of them twice")
    return hosts


def _headers(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _a_bot_token(value: SecretStr) -> SecretStr:
    number, _, secret = value.get_secret_value().partition(":")
    if not (number.isdigit() and secret) or any(char.isspace() for char in secret):
        raise BadSetting("something else")
    return value


def _a_directory_url(value: str) -> str:
    if not value.startswith("file:///"):
        raise ValueError("not a file:/// address")
    return value


Seconds = Annotated[float, Field(gt=0, le=86_400, description=_SECONDS)]


class Settings(HookSettings):
    """What the worker needs. Names are those of the variables, in lower case."""

    telegram_bot_token: Annotated[
        SecretStr, AfterValidator(_a_bot_token), Field(description=_TOKEN)
    ]
    telegram_api_url: Annotated[
        HttpUrl, Field(description="the address of a Bot API server, http:// or https://")
    ] = HttpUrl("https://api.telegram.org")
    telegram_timeout: Seconds = 60.0

    comfyui_hosts: Annotated[
        tuple[HostAddress, ...],
        NoDecode,
        BeforeValidator(_hosts),
        Field(description=_HOSTS),
    ]
    comfyui_slots_per_host: Annotated[
        int, Field(ge=1, le=64, description="a whole number from 1 to 64")
    ] = 2
    comfyui_token: Annotated[SecretStr | None, Field(description="a bearer token")] = None
    comfyui_headers: Annotated[
        dict[str, SecretStr],
        NoDecode,
        BeforeValidator(_headers),
        Field(default_factory=dict, description='JSON such as {"X-Key": "secret"}'),
    ]
    comfyui_keep_outputs: Annotated[bool, Field(description="true or false")] = False
    # From the prompt being posted to its start: other prompts in the host's own queue.
    comfyui_queue_timeout: Seconds = 600.0
    # Without a sign of life while a prompt runs. Loading a model cold takes up to 40 s.
    comfyui_silence_timeout: Seconds = 90.0
    # Without a frame of its own: time to ask the host what became of a prompt.
    comfyui_look_after: Seconds = 10.0
    # An unreachable host that has a prompt of ours is waited for, since it may only have hiccuped.
    comfyui_away_timeout: Seconds = 10.0
    comfyui_request_timeout: Seconds = 30.0
    comfyui_transcode: Annotated[
        str | None,
        Field(
            pattern=r"^(webp|jpeg);([1-9][0-9]?|100)$",
            description="webp;1 to webp;100, or jpeg;1 to jpeg;100",
        ),
    ] = None
    workers_share_hosts: Annotated[bool, Field(description="true or false")] = False

    max_concurrent_generations: Annotated[
        int | None, Field(ge=1, description="a whole number from 1; left out: all slots")
    ] = None
    generation_timeout: Seconds = 120.0
    request_max_age: Annotated[
        float, Field(ge=0, description="a number of seconds, 0 for no limit")
    ] = 900.0
    request_attempts: Annotated[int, Field(ge=1, le=100, description="1 to 100")] = 3
    image_generation_frequency: Annotated[
        str | None, Field(description="nothing: it was never used")
    ] = None

    workflows_dir: Annotated[
        Path, Field(default_factory=lambda: shipped.path("workflows"), description="a directory")
    ]
    image_store: Annotated[str, AfterValidator(_a_directory_url), Field(description=_STORE)] = (
        "file:///var/lib/chatflow-imagegen/images"
    )
    image_url_base: Annotated[
        HttpUrl | None, Field(description="the http(s) address under which the store is served")
    ] = None

    log_format: Annotated[Literal["json", "console"], Field(description="json or console")] = "json"

    @model_validator(mode="after")
    def _one_way_to_sign(self) -> Self:
        named = {name.lower() for name in self.comfyui_headers}
        if self.comfyui_token is not None and "authorization" in named:
            raise ValueError(
                "COMFYUI_TOKEN and COMFYUI_HEADERS both set Authorization, must be one of them"
            )
        return self

    @property
    def slots(self) -> int:
        """How many prompts may be on all hosts together."""
        every = len(self.comfyui_hosts) * self.comfyui_slots_per_host
        return min(every, self.max_concurrent_generations or every)

    @property
    def image_url(self) -> str | None:
        """Where the image store is served, if it is."""
        return None if self.image_url_base is None else str(self.image_url_base)

    @property
    def host_headers(self) -> dict[str, str]:
        """The headers that go with every call to a host, secrets included."""
        headers = {name: value.get_secret_value() for name, value in self.comfyui_headers.items()}
        if self.comfyui_token is not None:
            headers["Authorization"] = f"Bearer {self.comfyui_token.get_secret_value()}"
        return headers


def from_env(**overrides: Any) -> Settings:
    """Read the settings. Raises BadSetting with a sentence that names the variable."""
    return read(Settings, **overrides)
