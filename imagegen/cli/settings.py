"""`imagegen settings`: which settings are in force on this machine, and where each comes from."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from imagegen.cli import output
from imagegen.cli.exits import exit_with, extra

if TYPE_CHECKING:
    from imagegen.settings_report import SettingsReport

_COLUMNS = ("variable", "value", "from")


@click.command()
@click.option("--all", "is_all", is_flag=True, help="Those that are not set too.")
@output.json_option
def settings(*, is_all: bool, is_json: bool) -> None:
    """Show the settings of a worker as this directory and environment give them, without secrets.

    Ends with 1 if one is wrong.
    """
    with extra("worker"):
        from imagegen.settings_report import report_settings

    try:
        report = report_settings()
    except (OSError, UnicodeDecodeError) as error:
        exit_with(f".env cannot be read: {error}", code=2)
    if is_json:
        output.show_json(
            {
                "env_file": None if report.env_file is None else str(report.env_file),
                "settings": [asdict(setting) for setting in report.settings],
                "faults": list(report.faults),
                "misspelt": [asdict(each) for each in report.misspelt],
            }
        )
    else:
        output.show([_table(report, is_all=is_all), *_notes(report)])
    is_wrong = report.faults or any(setting.fault for setting in report.settings)
    sys.exit(1 if is_wrong else 0)


def _table(report: "SettingsReport", *, is_all: bool) -> output.Table:
    return output.Table(
        columns=_COLUMNS,
        rows=[
            (setting.set_as, setting.value or "-", setting.source.value)
            for setting in report.settings
            if is_all or setting.source != "default" or setting.fault is not None
        ],
    )


def _notes(report: "SettingsReport") -> list[str]:
    shadowing = [setting.name for setting in report.settings if setting.is_shadowing]
    placeholders = [setting.name for setting in report.settings if setting.is_placeholder]
    notes = [
        *(setting.fault for setting in report.settings if setting.fault is not None),
        *report.faults,
        *(f"{each.name} is read by nothing: {each.meant} is meant?" for each in report.misspelt),
        *(f"{name}: the environment wins over another value in .env" for name in shadowing),
        *(f"{name}: the value looks like that of an example" for name in placeholders),
    ]
    return ["\n".join(notes)] if notes else []
