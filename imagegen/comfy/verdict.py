"""The verdict that no host can draw a graph, in one sentence; pure."""

from collections.abc import Mapping

from imagegen.comfy.errors import NobodyCanDraw
from imagegen.comfy.stock import Lack

_HOSTS_NAMED = 8
_LACKS_NAMED = 5


def nobody_can_draw(lacks: Mapping[str, tuple[Lack, ...]]) -> NobodyCanDraw:
    """Say which host lacks what; hosts that lack the same are named together."""
    hosts_by_lacks: dict[tuple[Lack, ...], list[str]] = {}
    for host, missing in lacks.items():
        hosts_by_lacks.setdefault(missing, []).append(host)
    parts = [f"{_hosts(hosts)}: {_what(missing)}" for missing, hosts in hosts_by_lacks.items()]
    # A file is put in place in a minute, a custom node is not: the harder thing is the code.
    codes = {lack.code for missing in lacks.values() for lack in missing}
    code = "node_missing" if "node_missing" in codes else None
    return NobodyCanDraw(f"No host can draw this. {'; '.join(parts[:_HOSTS_NAMED])}", code=code)


def _hosts(names: list[str]) -> str:
    return ", ".join(names[:_HOSTS_NAMED]) + (", …" if len(names) > _HOSTS_NAMED else "")


def _what(missing: tuple[Lack, ...]) -> str:
    shown = ", ".join(lack.sentence for lack in missing[:_LACKS_NAMED])
    return shown + (", …" if len(missing) > _LACKS_NAMED else "")
