"""Errors of the sandbox."""

from imagegen.errors import ImagegenError


class SandboxError(ImagegenError):
    """A part of the sandbox cannot start or has failed; the message is one line for people."""
