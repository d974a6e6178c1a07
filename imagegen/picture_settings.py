"""Environment → frozen PictureSettings: what is drawn, and for whom what may be."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, HttpUrl, ImportString, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from chatflow_hook.settings import BadSetting
from chatflow_hook.turn import Rating
from imagegen.pipeline.image_spec import SeedMode


def _a_key(value: SecretStr | None) -> SecretStr | None:
    # It goes into a header.
    if value is not None and not (
        value.get_secret_value().isascii() and value.get_secret_value().isprintable()
    ):
        raise BadSetting("something else")
    return value


class PictureSettings(BaseSettings):
    """What a prompt is made of and how far it may go. Names are those of the variables."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    max_rating: Annotated[Rating, Field(description="safe, suggestive or explicit")] = Rating.SAFE
    protect_content: Annotated[bool, Field(description="true or false")] = False
    seed_mode: Annotated[SeedMode, Field(description="dialog, story or random")] = "dialog"
    image_screen: Annotated[
        ImportString[Any] | None, Field(description="a Python object as package.module:name")
    ] = None

    prompt_llm_url: Annotated[
        HttpUrl | None, Field(description="the address of an OpenAI-compatible server")
    ] = None
    prompt_llm_model: Annotated[str, Field(description="a model's name")] = "default"
    prompt_llm_api_key: Annotated[
        SecretStr | None, AfterValidator(_a_key), Field(description="the server's key, plain ASCII")
    ] = None
    prompt_llm_timeout: Annotated[
        float, Field(gt=0, le=60, description="a number of seconds, 60 at most")
    ] = 8.0
