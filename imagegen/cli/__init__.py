"""The `imagegen` command, one file a command.

- `app.py`: the command group
- `worker.py`, `probe.py`, `migrate.py`: run a worker, ask it how it is, migrate the database
- `hosts.py`, `host_table.py`: the state of each ComfyUI host
- `requests.py`, `request_tables.py`: list, show, retry and cancel requests
- `prompt.py`: what would be drawn for a dialog file
- `covers.py`: draw the covers of personas ahead
- `erasure.py`, `erasure_report.py`: `purge` and `forget`
- `demo.py`, `sandbox.py`: the demo, and the ComfyUI simulator
- `session.py`: database, Redis and image store of one command
- `extras.py`: the message for an extra that is not installed
"""

from imagegen.cli.app import main

__all__ = ["main"]
