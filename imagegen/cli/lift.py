"""`imagegen lift`: a user or a dialog that was kept safe for an age below 18 is so no longer."""

from typing import TYPE_CHECKING

import click

from imagegen.cli import output
from imagegen.cli.exits import extra

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from imagegen.cli.session import CommandSession

_ID = click.IntRange(-(2**63), 2**63 - 1)


@click.command()
@click.option("--user", type=_ID, metavar="ID", help="May confirm to be of age at once.")
@click.option("--dialog", type=_ID, metavar="ID", help="Its pictures are not kept safe any more.")
def lift(*, user: int | None, dialog: int | None) -> None:
    """Forget that a user, or the persona of a dialog, was said to be under 18."""
    with extra("worker"):
        from chatflow_hook import quota, safety_memory
        from chatflow_hook.keyed_hash import read_secret
        from imagegen.cli.session import run_in_session
        from imagegen.db.engine import run_in_transaction

    if user is None and dialog is None:
        raise click.UsageError("Give --user, --dialog or both.")

    async def work(session: "CommandSession") -> list[str]:
        async def step(connection: "AsyncConnection") -> list[str]:
            lines = []
            if dialog is not None:
                is_lifted = await safety_memory.begin_anew(connection, dialog)
                lines.append(f"dialog {dialog}: {_OUTCOMES[is_lifted]}")
            if user is not None:
                secret = await read_secret(connection, session.hash_secret)
                await quota.lock_user(connection, user)
                key = safety_memory.user_key(secret, user)
                is_lifted = await safety_memory.lift_user(connection, key)
                lines.append(f"user {user}: {_OUTCOMES[is_lifted]}")
            return lines

        return await run_in_transaction(session.engine, step)

    output.show(["\n".join(run_in_session(work))])


_OUTCOMES = {True: "lifted", False: "nothing was learnt"}
