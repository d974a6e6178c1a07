"""`imagegen personas`: check the graphs of personas, and make folders of new ones."""

import click

from imagegen.cli.persona_check import check
from imagegen.cli.persona_new import new


@click.group()
def personas() -> None:
    """Look at the personas of WORKFLOWS_DIR and PERSONAS_DIR."""


personas.add_command(check)
personas.add_command(new)
