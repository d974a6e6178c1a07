"""`imagegen worker`: the worker, run as arq's own command runs it."""

import click

from imagegen.cli.extras import extra


@click.command()
def worker() -> None:
    """Run the worker, like `arq imagegen.worker.WorkerSettings`."""
    with extra("worker"):
        from imagegen.queue import shutdown

        # What follows takes seconds to import.
        shutdown.install_signal_handlers()
        from imagegen.worker import run

    run()
