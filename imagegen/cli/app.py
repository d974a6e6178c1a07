"""The command group `imagegen`; each command is in a file of its own."""

import click

from imagegen.cli.costs import costs
from imagegen.cli.covers import covers
from imagegen.cli.demo import demo
from imagegen.cli.doctor import doctor
from imagegen.cli.draw import draw
from imagegen.cli.forget import forget
from imagegen.cli.hosts import hosts
from imagegen.cli.import_celery import import_celery
from imagegen.cli.lift import lift
from imagegen.cli.migrate import migrate
from imagegen.cli.pauses import pause, pauses, resume
from imagegen.cli.personas import personas
from imagegen.cli.probe import probe
from imagegen.cli.prompt import prompt
from imagegen.cli.purge import purge
from imagegen.cli.requests import requests
from imagegen.cli.sandbox import sandbox
from imagegen.cli.settings import settings
from imagegen.cli.warm import warm
from imagegen.cli.worker import worker


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chatflow-imagegen")
def main() -> None:
    """Draw pictures for ChatFlow conversations on a fleet of ComfyUI hosts."""


for _command in (
    worker,
    probe,
    doctor,
    migrate,
    hosts,
    requests,
    personas,
    pause,
    resume,
    pauses,
    prompt,
    draw,
    warm,
    covers,
    settings,
    costs,
    purge,
    forget,
    import_celery,
    lift,
    demo,
    sandbox,
):
    main.add_command(_command)
