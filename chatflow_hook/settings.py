"""The environment variables that bot and worker share, as frozen settings."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import quote

from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from redis.asyncio.connection import SSLConnection

from chatflow_hook.database_url import Address
from chatflow_hook.database_url import parse as parse_database_url
from chatflow_hook.quota import Quota
from chatflow_hook.redis_pool import IdleClosingPool
from chatflow_hook.redis_url import parse as parse_redis_url
from chatflow_hook.trigger import Distance

_DATABASE_FORM = "postgresql://user:password@host:5432/name"
_REDIS_FORM = "redis://:password@host:6379, rediss://… or unix:///path"
# In an address: what stands before the last @, without the scheme, and behind a question mark.
_USER = re.compile(r"^([\w+.-]+://)?.*@", re.DOTALL)
_OPTIONS = re.compile(r"\?.*", re.DOTALL)


class BadSetting(ValueError):
    """An environment variable is missing or wrong.

    The message names it, what it got and what it may be; of a secret it shows nothing.
    """


def _check_database_url(value: SecretStr, info: ValidationInfo) -> SecretStr:
    url = value.get_secret_value()
    try:
        address = parse_database_url(url)
    except ValueError as error:  # its message never quotes the address
        raise BadSetting(str(error)) from None
    for option, path in address.files.items():
        if not os.access(path, os.R_OK):
            raise BadSetting(f"an address whose {option} names a file that cannot be read")
    password: SecretStr | None = info.data.get("pgpassword")
    if password is None or address.url.password is not None:
        return value
    mark = "&" if "?" in url else "?"
    return SecretStr(f"{url.strip()}{mark}password={quote(password.get_secret_value(), safe='')}")


# The password of an address that has none: a field `pgpassword` that stands before the address.
PGPassword = Annotated[SecretStr | None, Field(description="the plain password")]
DatabaseURL = Annotated[
    SecretStr, AfterValidator(_check_database_url), Field(description=_DATABASE_FORM)
]


@dataclass(frozen=True, kw_only=True)
class RedisPlace:
    """The connection arguments of a Redis server, without a database; its repr hides them."""

    arguments: dict[str, Any] = field(repr=False)

    @property
    def address(self) -> str:
        """The address for people and logs, such as `rediss://cache:6380`; it has no password."""
        if "path" in self.arguments:
            return f"unix://{self.arguments['path']}"
        scheme = "rediss" if self.is_tls else "redis"
        return f"{scheme}://{self.arguments.get('host', 'localhost')}:{self.arguments.get('port', 6379)}"

    @property
    def is_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.arguments.get("connection_class") is SSLConnection

    @property
    def user(self) -> str | None:
        """The name under which a connection logs in, None for Redis's own default."""
        return self.arguments.get("username")

    def pool(self, db: int, **more: Any) -> IdleClosingPool:
        """Return a pool of connections to database number `db`; touches no network.

        `more` are further arguments of a connection. The caller closes the pool.
        """
        return IdleClosingPool(**{**self.arguments, "db": db, **more})


class RedisSettings(BaseSettings):
    """The settings of Redis alone, for commands that need nothing else."""

    model_config = SettingsConfigDict(frozen=True, env_file=".env", extra="ignore")

    redis_url: Annotated[SecretStr | None, Field(description=_REDIS_FORM)] = None
    redis_host: Annotated[str, Field(description="a host name or address")] = "localhost"
    redis_port: Annotated[int, Field(ge=1, le=65535, description="a port, 1 to 65535")] = 6379
    redis_password: Annotated[SecretStr | None, Field(description="the plain password")] = None
    redis_broker_db: Annotated[
        int, Field(ge=0, le=1023, description="a database number, 0 to 1023")
    ] = 3
    redis_result_db: Annotated[
        int, Field(ge=0, le=1023, description="a database number, 0 to 1023")
    ] = 4

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take a variable that is empty as one that is not set.

        pydantic-settings has an option for it from 2.2 on, and a bot may bring an older one.
        """
        del settings_cls
        for source in (env_settings, dotenv_settings):
            if isinstance(source, EnvSettingsSource):
                source.env_vars = {name: value for name, value in source.env_vars.items() if value}
        return init_settings, env_settings, dotenv_settings, file_secret_settings

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return value
        try:
            parse_redis_url(value.get_secret_value())
        except ValueError as error:  # its message never quotes the address
            raise BadSetting(str(error)) from None
        return value

    @property
    def redis(self) -> RedisPlace:
        """The Redis server: REDIS_URL if it is set, else the other variables.

        A database number in REDIS_URL is ignored: REDIS_BROKER_DB and REDIS_RESULT_DB count.
        """
        if self.redis_url is not None:
            return RedisPlace(arguments=parse_redis_url(self.redis_url.get_secret_value()))
        arguments: dict[str, Any] = {"host": self.redis_host, "port": self.redis_port}
        if self.redis_password is not None:
            arguments["password"] = self.redis_password.get_secret_value()
        return RedisPlace(arguments=arguments)


class HookSettings(RedisSettings):
    """The hook's settings: database, Redis, trigger, limits, age text, secret. Touches no network."""

    pgpassword: PGPassword = None
    database_url: DatabaseURL
    image_trigger_min: Annotated[int, Field(ge=1, description="a whole number from 1")] = 3
    image_trigger_max: Annotated[
        int, Field(ge=1, description="a whole number, at least IMAGE_TRIGGER_MIN")
    ] = 5

    images_per_user_per_day: Annotated[
        int, Field(ge=0, description="a whole number, 0 for no limit")
    ] = 0
    asked_images_per_minute: Annotated[
        int, Field(ge=0, description="a whole number, 0 for no limit")
    ] = 5
    age_text_version: Annotated[
        str, Field(min_length=1, max_length=64, description="1 to 64 characters")
    ] = "1"
    hash_secret: Annotated[
        SecretStr | None, Field(min_length=16, description="at least 16 characters")
    ] = None

    messages_file: Annotated[Path | None, Field(description="a TOML file of sentences")] = None

    @model_validator(mode="after")
    def _check_trigger_bounds(self) -> Self:
        if self.image_trigger_min > self.image_trigger_max:
            raise ValueError(
                f"IMAGE_TRIGGER_MAX: got {self.image_trigger_max}, must be at least "
                f"IMAGE_TRIGGER_MIN, which is {self.image_trigger_min}"
            )
        return self

    @property
    def distance(self) -> Distance:
        """The least and the greatest number of messages between two automatic pictures."""
        return Distance(minimum=self.image_trigger_min, maximum=self.image_trigger_max)

    @property
    def quota(self) -> Quota:
        """How many pictures a user may have."""
        return Quota(
            per_day=self.images_per_user_per_day, asked_per_minute=self.asked_images_per_minute
        )

    @property
    def database(self) -> Address:
        """The address of the database, parsed."""
        return parse_database_url(self.database_url.get_secret_value())


SettingsT = TypeVar("SettingsT", bound=BaseSettings)


@dataclass(frozen=True, kw_only=True)
class SettingFault:
    """What is wrong with a variable; `name` is None if several do not fit together."""

    name: str | None
    sentence: str


def read(kind: type[SettingsT], **overrides: Any) -> SettingsT:
    """Read settings of this class from the environment and `.env`; `overrides` take precedence.

    Raises:
        BadSetting: a variable is missing or wrong.
    """
    try:
        return kind(**overrides)
    except ValidationError as error:
        faults = _faults(kind, error)
        raise BadSetting("; ".join(fault.sentence for fault in faults)) from None


def find_faults(kind: type[BaseSettings]) -> tuple[SettingFault, ...]:
    """Return what is wrong in the environment and `.env` for settings of this class."""
    try:
        kind()
    except ValidationError as error:
        return _faults(kind, error)
    return ()


def without_secrets(text: str) -> str:
    """Return an address without user, password and options, since they may be secret."""
    return _OPTIONS.sub("?***", _USER.sub(r"\1***@", text))


def _faults(kind: type[BaseSettings], error: ValidationError) -> tuple[SettingFault, ...]:
    return tuple(
        SettingFault(
            name=str(fault["loc"][0]).upper() if fault["loc"] else None,
            sentence=_sentence(kind, fault),
        )
        for fault in error.errors(include_url=False)
    )


def _sentence(kind: type[BaseSettings], fault: ErrorDetails) -> str:
    if not fault["loc"]:
        return str(fault["ctx"]["error"])  # from a validator of the whole model
    name = str(fault["loc"][0])
    field = _field(kind, name)
    expectation = f"must be {field.description}"
    if fault["type"] == "missing":
        return f"{name.upper()} is not set, {expectation}"
    return f"{name.upper()}: got {_shown_value(field, fault)}, {expectation}"


def _field(kind: type[BaseSettings], name: str) -> FieldInfo:
    """Return the field that has a variable of this name, in lower case."""
    if name in kind.model_fields:
        return kind.model_fields[name]
    return next(
        field
        for field in kind.model_fields.values()
        if isinstance(field.validation_alias, AliasChoices)
        and name in field.validation_alias.choices
    )


def _shown_value(field: FieldInfo, fault: ErrorDetails) -> str:
    if fault["type"] == "import_error":
        why, _, _ = str(fault["ctx"]["error"]).partition("\n")
        return f"{fault['input']!r} ({why})"
    if "SecretStr" not in str(field.annotation):
        value = fault["input"]
        return repr(without_secrets(value) if isinstance(value, str) else value)
    # Only the message of our own error is shown: others quote the value, which has a password.
    reason = fault.get("ctx", {}).get("error")
    return str(reason) if isinstance(reason, BadSetting) else "something else"
