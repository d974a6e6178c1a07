"""Environment → frozen LibrarySettings: where the personas and their workflows are."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from chatflow_hook.settings import BadSetting
from imagegen import resources
from imagegen.workflows.errors import WorkflowsMissing
from imagegen.workflows.library import Library, load_workflows


class LibrarySettings(BaseSettings):
    """What whoever names personas needs. Names are those of the variables, in lower case."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    workflows_dir: Annotated[
        Path, Field(default_factory=lambda: resources.path("workflows"), description="a directory")
    ]
    personas_dir: Annotated[Path | None, Field(description="a directory")] = None

    def library(self) -> Library:
        """Load the personas. Raises BadSetting if a directory has none."""
        try:
            return load_workflows(self.workflows_dir, self.personas_dir)
        except WorkflowsMissing as error:
            name = "PERSONAS_DIR" if error.directory == self.personas_dir else "WORKFLOWS_DIR"
            raise BadSetting(
                f"{name}: got {error.directory}, must be a directory with a folder for each "
                "persona, which has a persona.toml"
            ) from error
