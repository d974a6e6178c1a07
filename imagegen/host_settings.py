"""Environment → frozen HostSettings: where the hosts are, and what they are to draw."""

import json
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from imagegen.comfy.address import HostAddress
from imagegen.library_settings import LibrarySettings

_HOSTS = "host:port or https://host/prefix, separated by commas, each once"
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


Seconds = Annotated[float, Field(gt=0, le=86_400, description=_SECONDS)]


class HostSettings(LibrarySettings):
    """What whoever talks to the hosts needs. Names are those of the variables, in lower case."""

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

    @model_validator(mode="after")
    def _one_way_to_sign(self) -> Self:
        named = {name.lower() for name in self.comfyui_headers}
        if self.comfyui_token is not None and "authorization" in named:
            raise ValueError(
                "COMFYUI_TOKEN and COMFYUI_HEADERS both set Authorization, must be one of them"
            )
        return self

    @property
    def host_headers(self) -> dict[str, str]:
        """The headers that go with every call to a host, secrets included."""
        headers = {name: value.get_secret_value() for name, value in self.comfyui_headers.items()}
        if self.comfyui_token is not None:
            headers["Authorization"] = f"Bearer {self.comfyui_token.get_secret_value()}"
        return headers
