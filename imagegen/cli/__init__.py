"""The `imagegen` command, one file a command."""

from imagegen.cli.app import main

__all__ = ["main"]
