"""`imagegen doctor`: ask everything that a picture needs, and say what is wrong and what to do."""

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from imagegen.cli import output
from imagegen.cli.exits import extra
from imagegen.cli.options import timeout_option

if TYPE_CHECKING:
    from imagegen.doctor.examination import DoctorReport
    from imagegen.doctor.finding import DoctorFinding

_COLOURS = ("green", "yellow", "red")
_INDENT = " " * 8


@click.command()
@output.json_option
@timeout_option("How long all questions together may take.")
@click.option(
    "--send-to",
    type=int,
    metavar="CHAT",
    help="Send a test message to this chat; without it nothing is sent.",
)
def doctor(*, is_json: bool, timeout_s: float, send_to: int | None) -> None:
    """Ask everything that a picture needs, at once, and say what is wrong and what to do next.

    It draws nothing. Ends with 0 if all is green, 1 for yellow (pictures are made, look at it),
    2 for red (they are not made, or do not arrive).
    """
    with extra("worker"):
        import structlog

        from imagegen.doctor.examination import examine

    # What is logged meanwhile is said as a finding.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)

    async def run() -> None:
        report = await examine(timeout_s=timeout_s, send_to=send_to)
        if is_json:
            output.show_json(as_json(report))
        else:
            click.echo(as_text(report))
        sys.stdout.flush()
        # At once: a thread that still waits for a name server or a directory would hold up the end.
        os._exit(report.worst)

    asyncio.run(run())


def as_text(report: "DoctorReport") -> str:
    """Return the findings by subject, and the settings that are set."""
    lines = []
    for each in report.subjects:
        lines.append(click.style(each.subject, bold=True))
        for finding in sorted(each.findings, key=lambda found: -found.level):
            lines += _finding_lines(finding)
        if each.subject == "settings":
            lines += _setting_lines(report)
        lines.append("")
    counts = [
        f"{sum(finding.level == level for finding in report.findings)} {colour}"
        for level, colour in reversed(list(enumerate(_COLOURS)))
    ]
    return "\n".join([*lines, f"{', '.join(counts)}, in {report.seconds:g} s"])


def as_json(report: "DoctorReport") -> dict[str, Any]:
    """Return the same as plain objects, with all settings."""
    settings = report.settings.settings if report.settings is not None else ()
    return {
        "worst": _COLOURS[report.worst],
        "seconds": report.seconds,
        "subjects": [
            {
                "subject": each.subject,
                "seconds": each.seconds,
                "findings": [
                    {
                        "level": _COLOURS[finding.level],
                        "sentence": finding.sentence,
                        "advice": finding.advice,
                    }
                    for finding in each.findings
                ],
            }
            for each in report.subjects
        ],
        "settings": [
            {
                "name": each.name,
                "value": each.value,
                "source": each.source.value,
                "set_as": each.set_as,
                "is_masked": each.is_masked,
            }
            for each in settings
        ],
    }


def _finding_lines(finding: "DoctorFinding") -> list[str]:
    colour = _COLOURS[finding.level]
    # The word too, for those who see no colours, and for a file.
    padding = " " * (len(_INDENT) - len(colour))
    lines = [f"{click.style(colour, fg=colour)}{padding}{finding.sentence}"]
    return lines if finding.advice is None else [*lines, f"{_INDENT}-> {finding.advice}"]


def _setting_lines(report: "DoctorReport") -> list[str]:
    if report.settings is None:
        return []
    written = [each for each in report.settings.settings if each.is_set]
    width = max((len(each.set_as) for each in written), default=0)
    return [
        f"{_INDENT}{each.set_as:<{width}}  {each.value}  ({each.source}"
        f"{', wins over another value in .env' if each.is_shadowing else ''})"
        for each in written
    ]
