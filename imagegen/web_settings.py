"""Environment → frozen WebSettings: where a worker tells how it is."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class WebSettings(BaseSettings):
    """What whoever asks a worker needs. Names are those of the variables, in lower case."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    web_host: Annotated[str, Field(description="an address of this machine")] = "127.0.0.1"
    web_port: Annotated[
        int, Field(ge=0, le=65535, description="a port, 1 to 65535, or 0 for none")
    ] = 8080
