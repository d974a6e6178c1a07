"""What each setting is and where it comes from, without its secrets; misspelt and forgotten ones."""

import enum
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource

from chatflow_hook.database_url import parse as parse_database_url
from chatflow_hook.redis_url import parse as parse_redis_url
from chatflow_hook.settings import RedisPlace, find_faults, without_secrets
from imagegen.settings import Settings

_ENV_FILE = Path(".env")
_MASK = "***"
# How alike two names have to be, from 0 to 1: TELEGRAM_TOKEN and TELEGRAM_BOT_TOKEN are 0.88.
_LIKENESS = 0.83
# What stands in examples, ours and those of others, until somebody puts the value in its place.
_PLACEHOLDER = re.compile(
    r"change[-_ ]?(me|this)|replace[-_ ]?(me|with|this)|\byour[-_ ]|<[^<>]+>|\$\{\w+\}|…|s3cret"
    r"|\bexample\.(com|net|org)\b|//user:password@|^(x{3,}|todo|placeholder)$"
    # The tokens in the documentation of the Bot API.
    r"|^(123456:ABC-DEF|110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw)",
    re.IGNORECASE,
)


class Source(enum.StrEnum):
    """Where the value of a setting comes from; the environment has priority over the file."""

    ENVIRONMENT = "environment"
    FILE = ".env"
    DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class SettingReport:
    """One setting.

    Attributes:
        name: the name of its variable.
        set_as: the name under which it was found, which may be an older one; `name` by default.
        value: what was written, or the default, without any secret; None if there is none.
        source: where the value comes from.
        is_masked: `value` is not all that was written, since that is secret.
        is_shadowing: the environment wins over another value in `.env`.
        is_placeholder: the value looks like that of an example.
        fault: what is wrong with it, a sentence; None if nothing is.
    """

    name: str
    set_as: str
    value: str | None
    source: Source
    is_masked: bool
    is_shadowing: bool
    is_placeholder: bool
    fault: str | None


@dataclass(frozen=True, kw_only=True)
class MisspeltSetting:
    """A variable that nothing reads; `meant` is the setting with nearly that name, which is not set."""

    name: str
    meant: str
    source: Source


@dataclass(frozen=True, kw_only=True)
class SettingsReport:
    """All settings.

    Attributes:
        settings: one for each variable, those with a fault included.
        faults: what does not fit together, sentences; they are looked for once each value is right.
        misspelt: variables that are read by nobody and are named nearly like a setting.
        env_file: the `.env` file that was read, None if there is none.
    """

    settings: tuple[SettingReport, ...]
    faults: tuple[str, ...]
    misspelt: tuple[MisspeltSetting, ...]
    env_file: Path | None


def report_settings(kind: type[BaseSettings] = Settings) -> SettingsReport:
    """Return where each setting of this class comes from and what is wrong; it shows no secret.

    Raises:
        OSError: `.env` is there and cannot be read.
        UnicodeDecodeError: `.env` is not UTF-8.
    """
    found = {
        Source.ENVIRONMENT: EnvSettingsSource(kind, env_ignore_empty=True).env_vars,
        Source.FILE: DotEnvSettingsSource(kind, env_ignore_empty=True).env_vars,
    }
    faults = find_faults(kind)
    by_name = {fault.name: fault.sentence for fault in faults if fault.name is not None}
    settings = tuple(
        _report(name, field, found, by_name) for name, field in kind.model_fields.items()
    )
    return SettingsReport(
        settings=settings,
        faults=tuple(fault.sentence for fault in faults if fault.name is None),
        misspelt=_misspelt(kind, found, settings),
        env_file=_ENV_FILE.resolve() if _ENV_FILE.is_file() else None,
    )


_Found = Mapping[Source, Mapping[str, str | None]]


def _report(name: str, field: FieldInfo, found: _Found, faults: Mapping[str, str]) -> SettingReport:
    names = _names(name, field)
    places = [
        (source, each, value)
        for source, variables in found.items()
        for each in names
        if (value := variables.get(each)) is not None
    ]
    source, set_as, text = places[0] if places else (Source.DEFAULT, name, None)
    shown = _default(field) if text is None else _shown(name, field, text)
    return SettingReport(
        name=name.upper(),
        set_as=set_as.upper(),
        value=shown,
        source=source,
        is_masked=text is not None and shown != text,
        is_shadowing=source is Source.ENVIRONMENT
        and any(place is Source.FILE and value != text for place, _, value in places),
        is_placeholder=text is not None and _PLACEHOLDER.search(text) is not None,
        fault=next((faults[each.upper()] for each in names if each.upper() in faults), None),
    )


def _names(name: str, field: FieldInfo) -> list[str]:
    """Return the names of a setting's variable, in lower case, the one with priority first."""
    alias = field.validation_alias
    return [str(each) for each in alias.choices] if isinstance(alias, AliasChoices) else [name]


def _default(field: FieldInfo) -> str | None:
    if field.is_required():
        return None
    value: Any = field.get_default(call_default_factory=True)
    match value:
        case None | () | {}:
            return None
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _shown(name: str, field: FieldInfo, text: str) -> str:
    kind = str(field.annotation)
    if "SecretStr" in kind:
        return _without_secret(name, text)
    return without_secrets(text) if "HttpUrl" in kind or "HostAddress" in kind else text


def _without_secret(name: str, text: str) -> str:
    try:
        match name:
            case "database_url":
                return parse_database_url(text).place
            case "redis_url":
                return RedisPlace(arguments=parse_redis_url(text)).address
            case "comfyui_headers":
                return json.dumps(dict.fromkeys(json.loads(text), _MASK))
            case _:
                return _MASK
    except (ValueError, TypeError):  # its fault says more
        return _MASK


def _misspelt(
    kind: type[BaseSettings], found: _Found, settings: tuple[SettingReport, ...]
) -> tuple[MisspeltSetting, ...]:
    known = {each for name, field in kind.model_fields.items() for each in _names(name, field)}
    unset = [setting.name.lower() for setting in settings if setting.source is Source.DEFAULT]
    return tuple(
        MisspeltSetting(name=name.upper(), meant=meant[0].upper(), source=source)
        for source, variables in found.items()
        for name in variables
        if name not in known and (meant := get_close_matches(name, unset, n=1, cutoff=_LIKENESS))
    )
