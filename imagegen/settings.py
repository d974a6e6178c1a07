"""Every environment variable of the worker, as frozen settings.

A field has the name of its variable, in lower case; a variable that is empty counts as not set, and
a `.env` file is read too. The description of a field is what an error message says it must be.
Settings hold values only: `imagegen/bootstrap.py` makes objects from them.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    HttpUrl,
    ImportString,
    SecretStr,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from chatflow_hook.buttons import Button
from chatflow_hook.settings import BadSetting, DatabaseURL, HookSettings, PGPassword, read
from chatflow_hook.turn import Rating
from imagegen import resources
from imagegen.comfy.address import DnsName, HostAddress, parse_host
from imagegen.delivery.message import AiMark
from imagegen.metrics import HostPrices


class DatabaseSettings(BaseSettings):
    """The address of the database alone."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    pgpassword: PGPassword = None
    database_url: DatabaseURL


class LibrarySettings(BaseSettings):
    """Where the personas and their workflows are. PERSONAS_DIR is the operator's own, or None."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    workflows_dir: Annotated[
        Path, Field(default_factory=lambda: resources.path("workflows"), description="a directory")
    ]
    personas_dir: Annotated[Path | None, Field(description="a directory")] = None


_HOSTS = "host:port, https://host/prefix or dns://name:port, separated by commas, each once"
_SECONDS = "a number of seconds above 0"
_PRICES = "a price such as 0.8, or host:port=price separated by commas, or both"


def _parse_hosts(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    hosts = tuple(parse_host(part) for part in value.split(",") if part.strip())
    if not hosts or len(set(hosts)) < len(hosts):
        raise ValueError("no host, or one of them twice")
    return hosts


def _parse_prices(value: Any) -> Any:
    """Read `0.8`, `gpu-1:8188=0.8,gpu-2:8188=1.2` or both: the price without a host is for all others."""
    if not isinstance(value, str):
        return value
    others, by_host = 0.0, {}
    for part in value.split(","):
        host, is_named, price = part.rpartition("=")
        amount = float(price)
        if not 0 <= amount < float("inf"):
            raise ValueError("no price")
        if is_named:
            by_host[HostAddress.parse(host).name] = amount
        else:
            others = amount
    return HostPrices(others=others, by_host=by_host)


def _parse_headers(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


Seconds = Annotated[float, Field(gt=0, le=86_400, description=_SECONDS)]


HostList = Annotated[
    tuple[HostAddress | DnsName, ...],
    NoDecode,
    BeforeValidator(_parse_hosts),
    Field(description=_HOSTS),
]


class HostSettings(LibrarySettings):
    """Where the ComfyUI hosts are, and how they are used. Durations are in seconds."""

    comfyui_hosts: HostList
    comfyui_slots_per_host: Annotated[
        int, Field(ge=1, le=64, description="a whole number from 1 to 64")
    ] = 2
    comfyui_token: Annotated[SecretStr | None, Field(description="a bearer token")] = None
    comfyui_headers: Annotated[
        dict[str, SecretStr],
        NoDecode,
        BeforeValidator(_parse_headers),
        Field(default_factory=dict, description='JSON such as {"X-Key": "secret"}'),
    ]
    comfyui_keep_outputs: Annotated[bool, Field(description="true or false")] = False
    # Three waits for a host: the queue timeout until a prompt starts, the silence timeout while it
    # runs, and the away timeout while the host cannot be reached.
    # From posting a prompt to its start, while other prompts in the host's own queue are drawn.
    comfyui_queue_timeout: Seconds = 600.0
    # From a prompt's start to the first step of its sampler, if its models have to be loaded: 20 GB
    # from a network volume take 130 s.
    comfyui_loading_timeout: Seconds = 300.0
    # Without any message of the host while the prompt is drawn.
    comfyui_silence_timeout: Seconds = 90.0
    # Without a websocket message about this prompt; after it the host is asked for its status.
    comfyui_look_after: Seconds = 10.0
    # How long a host that has our prompt may be unreachable before the prompt goes elsewhere: it
    # is often back after a moment.
    comfyui_away_timeout: Seconds = 10.0
    # After a host ran out of memory: until somebody else has done with its graphics card.
    comfyui_memory_retry: Seconds = 20.0
    comfyui_request_timeout: Seconds = 30.0
    comfyui_transcode: Annotated[
        str | None,
        Field(
            pattern=r"^(webp|jpeg);([1-9][0-9]?|100)$",
            description="webp;1 to webp;100, or jpeg;1 to jpeg;100",
        ),
    ] = None
    workers_share_hosts: Annotated[bool, Field(description="true or false")] = False

    @model_validator(mode="after")
    def _check_one_authorization(self) -> Self:
        named = {name.lower() for name in self.comfyui_headers}
        if self.comfyui_token is not None and "authorization" in named:
            raise ValueError(
                "COMFYUI_TOKEN and COMFYUI_HEADERS both set Authorization, must be one of them"
            )
        return self

    @property
    def host_addresses(self) -> tuple[HostAddress, ...]:
        """The hosts of COMFYUI_HOSTS that are named one by one."""
        return tuple(each for each in self.comfyui_hosts if isinstance(each, HostAddress))

    @property
    def host_dns_names(self) -> tuple[DnsName, ...]:
        """The DNS names of COMFYUI_HOSTS, whose records are hosts."""
        return tuple(each for each in self.comfyui_hosts if isinstance(each, DnsName))

    @property
    def host_headers(self) -> dict[str, str]:
        """The headers of every call to a host, with the secrets in clear text."""
        headers = {name: value.get_secret_value() for name, value in self.comfyui_headers.items()}
        if self.comfyui_token is not None:
            headers["Authorization"] = f"Bearer {self.comfyui_token.get_secret_value()}"
        return headers


def _check_header_value(value: SecretStr | None) -> SecretStr | None:
    # The key is sent in an HTTP header, which takes printable ASCII only.
    if value is not None and not (
        value.get_secret_value().isascii() and value.get_secret_value().isprintable()
    ):
        raise BadSetting("something else")
    return value


class CostSettings(BaseSettings):
    """What an hour of each host costs, and what the pictures of a day may."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    host_price_per_hour: Annotated[
        HostPrices, NoDecode, BeforeValidator(_parse_prices), Field(description=_PRICES)
    ] = HostPrices()
    cost_limit_per_day: Annotated[
        float | None, Field(gt=0, description="an amount above 0; left out: no limit")
    ] = None

    @model_validator(mode="after")
    def _check_limit_has_prices(self) -> Self:
        if self.cost_limit_per_day is not None and self.host_price_per_hour == HostPrices():
            raise ValueError("COST_LIMIT_PER_DAY is set, so HOST_PRICE_PER_HOUR must be set too")
        return self


class PictureSettings(BaseSettings):
    """How prompts are written, how far pictures may go, and which seeds they have."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    max_rating: Annotated[Rating, Field(description="safe, suggestive or explicit")] = Rating.SAFE
    protect_content: Annotated[bool, Field(description="true or false")] = False
    seed_mode: Annotated[
        Literal["dialog", "story", "random"], Field(description="dialog, story or random")
    ] = "dialog"
    image_screen: Annotated[
        ImportString[Any] | None, Field(description="a Python object as package.module:name")
    ] = None

    prompt_llm_url: Annotated[
        HttpUrl | None, Field(description="the address of an OpenAI-compatible server")
    ] = None
    prompt_llm_model: Annotated[str, Field(description="a model's name")] = "default"
    prompt_llm_api_key: Annotated[
        SecretStr | None,
        AfterValidator(_check_header_value),
        Field(description="the server's key, plain ASCII"),
    ] = None
    prompt_llm_timeout: Annotated[
        float, Field(gt=0, le=60, description="a number of seconds, 60 at most")
    ] = 8.0


_STORE = "file:///an/absolute/directory or s3://bucket/prefix"
_MAX_URL_VALID_S = 604_800.0
_DAY_S = 86_400.0


def _check_store_url(value: str) -> str:
    if not (
        value.startswith("file:///") or (urlsplit(value).scheme == "s3" and _bucket_name(value))
    ):
        raise ValueError("neither a file:/// nor an s3:// address")
    return value


def _bucket_name(url: str) -> str:
    parts = urlsplit(url)
    return "" if parts.query or parts.fragment or "@" in parts.netloc else parts.netloc


_Days = Annotated[float, Field(ge=0, le=36_500, description="a number of days, 0 for ever")]


class StoreSettings(BaseSettings):
    """Where images are kept, and for how long images, requests and conversations are."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    image_store: Annotated[str, AfterValidator(_check_store_url), Field(description=_STORE)] = (
        "file:///var/lib/chatflow-imagegen/images"
    )
    image_url_base: Annotated[
        HttpUrl | None, Field(description="the http(s) address under which the store is served")
    ] = None
    image_url_valid: Annotated[
        float,
        Field(
            ge=1, le=_MAX_URL_VALID_S, description="a number of seconds, 604800 (a week) at most"
        ),
    ] = _DAY_S
    # These four have the names that AWS's own tools use.
    aws_endpoint_url: Annotated[
        HttpUrl | None, Field(description="the address of an S3 server, http:// or https://")
    ] = None
    aws_region: Annotated[str | None, Field(description="a region's name")] = None
    aws_access_key_id: Annotated[SecretStr | None, Field(description="a key's id")] = None
    aws_secret_access_key: Annotated[SecretStr | None, Field(description="a secret key")] = None
    # A failed request can be retried only as long as its conversation is kept.
    context_retention: Annotated[
        float,
        Field(ge=0, le=31_536_000, description="a number of seconds, 0 to erase it at once"),
    ] = _DAY_S
    requests_retention_days: _Days = 90.0
    images_retention_days: _Days = 30.0


class WebSettings(BaseSettings):
    """Where the worker serves /healthz, /readyz and pictures for callers without a chat."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    web_host: Annotated[str, Field(description="an address of this machine")] = "127.0.0.1"
    web_port: Annotated[
        int, Field(ge=0, le=65535, description="a port, 1 to 65535, or 0 for none")
    ] = 8080
    web_url: Annotated[
        HttpUrl | None, Field(description="the http(s) address at which callers reach WEB_PORT")
    ] = None

    @property
    def served_at(self) -> str | None:
        """The address at which callers reach the worker's pages; None if that is not known."""
        if not self.web_port:
            return None
        if self.web_url is not None:
            return str(self.web_url)
        is_any_address = self.web_host in ("", "0.0.0.0", "::")  # noqa: S104 (compared, not bound)
        host = f"[{self.web_host}]" if ":" in self.web_host else self.web_host
        return None if is_any_address else f"http://{host}:{self.web_port}"


_TOKEN_LENGTH = 16


def _check_status_token(value: SecretStr | None) -> SecretStr | None:
    if value is not None and len(value.get_secret_value().strip()) < _TOKEN_LENGTH:
        raise BadSetting("something else")
    return value


_StatusToken = Annotated[
    SecretStr | None,
    AfterValidator(_check_status_token),
    Field(description=f"a random text of at least {_TOKEN_LENGTH} characters"),
]
_HeaderName = Annotated[
    str | None, Field(pattern=r"^[A-Za-z0-9-]+$", description="the name of an HTTP header")
]


class StatusSettings(WebSettings):
    """Who may see the status page, and who may change something on it."""

    status_token: _StatusToken = None
    status_read_token: _StatusToken = None
    status_proxy_header: _HeaderName = None
    status_proxy_role_header: _HeaderName = None

    @model_validator(mode="after")
    def _check_status_roles(self) -> Self:
        if self.status_token is not None and self.status_token == self.status_read_token:
            raise ValueError("STATUS_TOKEN and STATUS_READ_TOKEN are the same, must be two")
        if self.status_proxy_role_header is not None and self.status_proxy_header is None:
            raise ValueError("STATUS_PROXY_ROLE_HEADER is set without STATUS_PROXY_HEADER")
        return self


class TraceSettings(BaseSettings):
    """Where traces of requests are sent, by the names of OpenTelemetry's own variables."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    otel_exporter_otlp_endpoint: Annotated[
        HttpUrl | None, Field(description="the http(s) address of an OpenTelemetry collector")
    ] = None

    @property
    def trace_endpoint(self) -> str | None:
        """The address of the collector; None if traces are sent nowhere."""
        endpoint = self.otel_exporter_otlp_endpoint
        return None if endpoint is None else str(endpoint)


class LogSettings(BaseSettings):
    """In which form the worker writes its log."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    log_format: Annotated[Literal["json", "console"], Field(description="json or console")] = "json"


_TOKEN = "the bot's token as BotFather gave it, digits:letters"  # noqa: S105 (a description)


def _check_bot_token(value: SecretStr) -> SecretStr:
    number, _, secret = value.get_secret_value().partition(":")
    if not (number.isdigit() and secret) or any(char.isspace() for char in secret):
        raise BadSetting("something else")
    return value


class TelegramSettings(BaseSettings):
    """The bot, and the server of the Bot API."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    # BOT_TOKEN is what the Celery service called it.
    telegram_bot_token: Annotated[
        SecretStr,
        AfterValidator(_check_bot_token),
        Field(description=_TOKEN, validation_alias=AliasChoices("telegram_bot_token", "bot_token")),
    ]
    telegram_api_url: Annotated[
        HttpUrl, Field(description="the address of a Bot API server, http:// or https://")
    ] = HttpUrl("https://api.telegram.org")
    telegram_timeout: Seconds = 60.0


def _parse_buttons(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    buttons = tuple(Button(part.strip().lower()) for part in value.split(",") if part.strip())
    if len(set(buttons)) < len(buttons):
        raise ValueError("one of them twice")
    return buttons


class Settings(
    HostSettings,
    CostSettings,
    PictureSettings,
    StoreSettings,
    StatusSettings,
    TraceSettings,
    LogSettings,
    TelegramSettings,
    HookSettings,
):
    """Everything that the worker needs."""

    delivery_on_unknown: Annotated[
        Literal["resend", "skip"], Field(description="resend or skip")
    ] = "resend"
    delivery_progress: Annotated[
        Literal["action", "message", "draft", "off"],
        Field(description="action, message, draft or off"),
    ] = "action"
    delivery_preview: Annotated[bool, Field(description="true or false")] = False
    delivery_ends: Annotated[
        Literal["asked", "all", "off"], Field(description="asked, all or off")
    ] = "asked"
    delivery_buttons: Annotated[
        tuple[Button, ...],
        NoDecode,
        BeforeValidator(_parse_buttons),
        Field(description="another, file, hide or report, separated by commas, each once"),
    ] = ()
    delivery_buttons_under: Annotated[
        Literal["asked", "all"], Field(description="asked or all")
    ] = "asked"
    delivery_captions: Annotated[bool, Field(description="true or false")] = True
    delivery_ai_mark: Annotated[AiMark, Field(description="off, corner, caption or both")] = (
        AiMark.OFF
    )

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

    @property
    def slots(self) -> int:
        """How many prompts may be on the hosts that are named one by one, drawing or queued there."""
        return min(self.all_slots, self.max_concurrent_generations or self.all_slots)

    @property
    def all_slots(self) -> int:
        """How many slots those hosts have, without the limit of MAX_CONCURRENT_GENERATIONS."""
        return len(self.host_addresses) * self.comfyui_slots_per_host


def from_env(**overrides: Any) -> Settings:
    """Read the settings from the environment and `.env`; `overrides` go before both.

    Raises:
        BadSetting: a variable is missing or wrong; the sentence names it.
    """
    return read(Settings, **overrides)
