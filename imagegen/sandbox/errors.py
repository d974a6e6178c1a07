"""What the sandbox says when it cannot stand in for the real thing."""

from imagegen.errors import ImagegenError


class SandboxError(ImagegenError):
    """Say in one line why a part of the sandbox is not there."""
