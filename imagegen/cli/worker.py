"""`imagegen worker`: run the worker as arq's own command does."""

import click

from imagegen.cli.exits import extra


@click.command()
def worker() -> None:
    """Run the worker, like `arq imagegen.worker.WorkerSettings`."""
    with extra("worker"):
        from imagegen.queue import shutdown

        # First, since the next import takes seconds, in which a signal may come.
        shutdown.install_signal_handlers()
        from imagegen.worker import run

    run()
