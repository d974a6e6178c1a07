"""The `imagegen` command, one file a command.

- `app.py`: the command group
- `worker.py`, `probe.py`, `migrate.py`: run a worker, ask it how it is, migrate the database
- `doctor.py`: asks everything at once, and says what is wrong and what to do
- `output.py`: what every command prints: tables in a terminal, plain lines into a pipe, JSON
- `hosts.py`, `host_inspection.py`, `host_table.py`: each ComfyUI host, and which of them are used
- `requests.py`, `request_tables.py`: list, show, follow, retry and cancel requests
- `personas.py`: list personas, what yours change of the shipped ones, read them anew
- `persona_check.py`, `workflow_tables.py`: what would be set in a graph, and which host could draw it
- `persona_new.py`: the folder of a new persona, made from a graph
- `settings.py`: which settings are in force, and from where
- `prompt.py`: what would be drawn for a dialog file
- `draw.py`, `single_drawing.py`: one picture through a host, without a bot
- `warm.py`, `host_warming.py`: hosts load the models of personas ahead
- `covers.py`: draw the covers of personas ahead
- `import_celery.py`: the pictures that still wait in a Celery service
- `purge.py`, `forget.py`, `erasure_report.py`: what is erased, and how it is told
- `demo.py`, `sandbox.py`: the demo, and the ComfyUI simulator
- `session.py`: database, Redis and image store of one command
- `exits.py`: the line with which a command ends: a fault, or an extra that is not installed
- `options.py`: options that several commands share
"""

import sys

from imagegen.cli.exits import extra

# What these commands need is in another extra than `worker`.
_EXTRAS = {"demo": "sandbox", "sandbox": "simulator"}


def main(prog_name: str | None = None) -> None:
    """Run the `imagegen` command: what the console script calls.

    The bot's install has the script too, but not what it needs: one line names the extra then.
    """
    with extra(_EXTRAS.get(next(iter(sys.argv[1:]), ""), "worker")):
        from imagegen.cli.app import main as command
    command(prog_name=prog_name)
