"""What can be wrong with a persona's files."""

from pathlib import Path

from imagegen.errors import Rejected


class WorkflowFault(Rejected):
    """A persona that cannot be drawn: names the file, and the node and input where there are any.

    The sentence is for whoever keeps the workflows, not for the chat.
    """

    code = "workflow_broken"

    def __init__(
        self, file: Path, why: str, *, node: str | None = None, input_name: str | None = None
    ) -> None:
        named = (("node", node), ("input", input_name))
        where = ", ".join(f"{word} {name}" for word, name in named if name is not None)
        # Folder and file: the rest of the path is nobody's business who reads the row.
        name = "/".join(file.parts[-2:])
        super().__init__(": ".join(filter(None, (name, where, why))))
        self.file = file
        self.node = node
        self.input_name = input_name
        self.why = why


class UnknownPersona(Rejected):
    """A persona that no folder describes."""

    code = "unknown_persona"


class WorkflowsMissing(Rejected):
    """A directory that holds no persona at all."""

    code = "workflows_missing"

    def __init__(self, directory: Path, why: str) -> None:
        super().__init__(f"{directory}: {why}")
        self.directory = directory
