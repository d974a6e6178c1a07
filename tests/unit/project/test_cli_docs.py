"""docs/cli.md names every command with its options, and no others."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from imagegen.cli.app import COMMANDS, main

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"
ROW = re.compile(r"^\| `imagegen (?P<command>[\w -]+)` \|(?P<options>[^|]*)\|", re.MULTILINE)


def test_the_page_names_each_command_with_its_options() -> None:
    in_page = {
        row["command"]: set(re.findall(r"`(--[\w-]+)`", row["options"]))
        for row in ROW.finditer(PAGE.read_text())
    }

    assert in_page == dict(_commands(main, ()))


def test_the_list_of_commands_has_the_first_sentence_of_each() -> None:
    context = click.Context(main)
    commands = {name: main.get_command(context, name) for name in main.list_commands(context)}

    summaries = {
        name: command and command.get_short_help_str(1000) for name, command in commands.items()
    }
    assert summaries == {name: place.summary for name, place in COMMANDS.items()}


def _commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, set[str]]]:
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield " ".join(path), _options(command)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            each = command.get_command(context, name)
            assert each is not None
            yield from _commands(each, (*path, name))


def _options(command: click.Command) -> set[str]:
    return {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--") and name != "--help"
    }
