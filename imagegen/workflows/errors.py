"""What can be wrong with a persona's files."""

from pathlib import Path

from imagegen.errors import Rejected


class WorkflowFault(Rejected):
    """A persona cannot be drawn: names the file, and node and input where there are any.

    The sentence is for the people who maintain the workflows, not for the chat.
    """

    code = "workflow_broken"

    def __init__(
        self, file: Path, why: str, *, node: str | None = None, input_name: str | None = None
    ) -> None:
        named = (("node", node), ("input", input_name))
        where = ", ".join(f"{word} {name}" for word, name in named if name is not None)
        # Only folder and file: the sentence is stored in the row, and the rest of the path is
        # private to this machine.
        name = "/".join(file.parts[-2:])
        super().__init__(": ".join(filter(None, (name, where, why))))
        self.file = file
        self.node = node
        self.input_name = input_name
        self.why = why


class UnknownPersona(Rejected):
    """There is no folder for this persona."""

    code = "unknown_persona"


class WorkflowsMissing(Rejected):
    """The directory of workflows does not exist or holds no persona."""

    code = "workflows_missing"

    def __init__(self, directory: Path, why: str) -> None:
        super().__init__(f"{directory}: {why}")
        self.directory = directory
