"""`imagegen hosts`: the state of each ComfyUI host, and which of them the workers use."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from chatflow_hook.settings import BadSetting, read
from imagegen.cli import output
from imagegen.cli.exits import exit_with, extra
from imagegen.cli.options import timeout_option
from imagegen.errors import ImagegenError

if TYPE_CHECKING:
    from imagegen.cli.host_inspection import Inspection
    from imagegen.cli.session import CommandSession
    from imagegen.pool.host_orders import HostOrders

_note = click.option("--note", metavar="TEXT", help="For other operators, such as who and why.")
_hosts = click.argument("hosts", metavar="HOST…", nargs=-1, required=True)
_LOOK_EVERY_S = 1.0
_KNOWN_WITHIN_S = 3.0


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What became of an order for one host; `why` not, None if it was given."""

    host: str
    use: str | None = None
    why: str | None = None


@click.group(invoke_without_command=True)
@output.json_option
@output.watch_option
@timeout_option("How long a host may take to answer.")
@click.pass_context
def hosts(ctx: click.Context, *, is_json: bool, is_watched: bool, timeout_s: float) -> None:
    """Show each ComfyUI host: how it is, what it has, which personas it can draw.

    Ends with 1 if a host is down or a persona can be drawn nowhere.
    """
    if ctx.invoked_subcommand is not None:
        return
    with extra("worker"):
        from imagegen.cli import host_inspection, host_table

    def inspect() -> "Inspection":
        try:
            return host_inspection.inspect_hosts(timeout_s=timeout_s)
        except (BadSetting, ImagegenError) as error:
            exit_with(str(error), code=2)

    def blocks() -> "list[output.Table | str]":
        found = inspect()
        return [*host_table.as_blocks(found), *host_table.warnings(found)]

    if is_watched and is_json:
        output.watch_json(lambda: host_table.as_json(inspect().rows))
    if is_watched:
        output.watch(blocks)

    inspection = inspect()
    if is_json:
        output.show_json(host_table.as_json(inspection.rows))
    else:
        output.show(host_table.as_blocks(inspection))
    for sentence in host_table.warnings(inspection):
        click.echo(f"imagegen: {sentence}", err=True)
    sys.exit(0 if host_inspection.is_well(inspection) else 1)


@hosts.command()
@click.argument("addresses", metavar="ADDRESS…", nargs=-1, required=True)
@_note
@output.json_option
def add(*, addresses: Sequence[str], note: str | None, is_json: bool) -> None:
    """Use more hosts, or removed ones again; all workers do so within seconds.

    ADDRESS is as in COMFYUI_HOSTS, without dns://.
    """
    with extra("worker"):
        from imagegen.comfy.address import HostAddress

    try:
        parsed = [HostAddress.parse(address) for address in addresses]
    except ValueError as error:
        raise click.BadParameter(str(error)) from None

    async def work(orders: "HostOrders") -> list[_Outcome]:
        for address in parsed:
            await orders.add(address, note=note)
        return [_Outcome(host=address.name, use="active") for address in parsed]

    _give(work, is_json=is_json)


@hosts.command()
@_hosts
@click.option("--wait", "is_waiting", is_flag=True, help="Return when nothing runs on them.")
@_note
@output.json_option
def drain(*, hosts: Sequence[str], is_waiting: bool, note: str | None, is_json: bool) -> None:
    """Let what runs on hosts end, and begin nothing new there."""

    async def work(orders: "HostOrders") -> list[_Outcome]:
        outcomes = [
            await _ordered(orders, host, "draining", lambda name: orders.drain(name, note=note))
            for host in hosts
        ]
        for each in outcomes:
            if is_waiting and each.why is None:
                await _until_unused(orders, each.host)
        return outcomes

    _give(work, is_json=is_json)


@hosts.command()
@_hosts
@output.json_option
def resume(*, hosts: Sequence[str], is_json: bool) -> None:
    """Use drained hosts again."""

    async def work(orders: "HostOrders") -> list[_Outcome]:
        return [await _ordered(orders, host, "active", orders.resume) for host in hosts]

    _give(work, is_json=is_json)


@hosts.command()
@_hosts
@click.option("--now", "is_now", is_flag=True, help="Cancel what runs on them.")
@_note
@output.json_option
def remove(*, hosts: Sequence[str], is_now: bool, note: str | None, is_json: bool) -> None:
    """Take hosts away, once what runs on them has ended; also those of COMFYUI_HOSTS.

    With --now what runs on them is cancelled, and drawn by other hosts.
    """

    async def work(orders: "HostOrders") -> list[_Outcome]:
        return [
            await _ordered(
                orders,
                host,
                "removed",
                lambda name: orders.remove(name, gives_up=is_now, note=note),
                is_again_allowed=True,
            )
            for host in hosts
        ]

    _give(work, is_json=is_json)


async def _until_unused(orders: "HostOrders", host: str) -> None:
    told = 0
    while count := (await orders.usage(host)).requests:
        if count != told:
            click.echo(f"{host}: waiting for what runs there: {count}", err=True)
            told = count
        await asyncio.sleep(_LOOK_EVERY_S)  # only the rows of all workers show it


async def _ordered(
    orders: "HostOrders",
    host: str,
    use: str,
    order: Callable[[str], Awaitable[None]],
    *,
    is_again_allowed: bool = False,
) -> _Outcome:
    """Give an order for a host that is known and was not removed."""
    from imagegen.comfy.address import HostAddress

    try:
        name = HostAddress.parse(host).name
    except ValueError as error:
        return _Outcome(host=host, why=str(error))
    given = (await orders.read()).get(name)
    if given is None and (why := await _why_unknown(name)) is not None:
        return _Outcome(host=name, why=why)
    if given is not None and given.use == "removed" and not is_again_allowed:
        return _Outcome(host=name, why=f"it was removed: `imagegen hosts add {host}` uses it again")
    await order(name)
    return _Outcome(host=name, use=use)


async def _why_unknown(name: str) -> str | None:
    """Return why there is no host of a name, as far as is known; None if there is one."""
    from imagegen.cli.host_inspection import HostNamesSettings, known_hosts

    try:
        known = await known_hosts(read(HostNamesSettings), timeout_s=_KNOWN_WITHIN_S)
    except BadSetting as error:
        return f"the workers cannot be asked whether they know it: {error}"
    names = {*known.addresses, *(host.name for host in known.published)}
    if name in names:
        return None
    why = "no worker and no setting knows it"
    if known.redis_outage is not None:
        why = f"no setting knows it, and the workers cannot be asked ({known.redis_outage})"
    return f"{why}: there are {', '.join(sorted(names))}" if names else why


def _give(work: "Callable[[HostOrders], Awaitable[list[_Outcome]]]", *, is_json: bool) -> None:
    with extra("worker"):
        from imagegen.cli.session import run_in_session
        from imagegen.pool.host_orders import HostOrders

    async def in_session(session: "CommandSession") -> list[_Outcome]:
        return await work(HostOrders(session.engine))

    outcomes = run_in_session(in_session)
    if is_json:
        output.show_json([asdict(outcome) for outcome in outcomes])
    else:
        output.show(
            [
                "\n".join(
                    f"{each.host}: {each.use}"
                    if each.why is None
                    else f"{each.host}: no, {each.why}"
                    for each in outcomes
                )
            ]
        )
    sys.exit(1 if any(outcome.why is not None for outcome in outcomes) else 0)
