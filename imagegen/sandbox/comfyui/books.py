"""What a host has written down over all its lives, and the ledger that comes of it."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from imagegen.sandbox.comfyui.ledger import Drawing, Ledger, Outage, picture_of
from imagegen.sandbox.comfyui.machine import Account, Posted
from imagegen.sandbox.comfyui.script import Happening
from imagegen.sandbox.comfyui.worker import Drawn


@dataclass(frozen=True, kw_only=True)
class Books:
    """The account that the lives keep, and when nobody could reach the host."""

    account: Account
    outages: list[Outage] = field(default_factory=list)

    def begin_outage(self, kind: str) -> None:
        """Note that from now on nobody reaches the host; another outage ends."""
        self.end_outage()
        self.outages.append(Outage(kind=kind, began=time.time()))

    def end_outage(self) -> None:
        if self.outages and self.outages[-1].ended is None:
            self.outages[-1] = replace(self.outages[-1], ended=time.time())

    def ledger(self, host: str, troubles: Sequence[Happening]) -> Ledger:
        """Add it all up."""
        prompts = {posted.prompt_id: posted for posted in self.account.posted}
        return Ledger(
            host=host,
            posted=Counter(posted.prompt_id for posted in self.account.posted),
            drawings=[_drawing(host, drawn, prompts) for drawn in self.account.drawn],
            loads=tuple(self.account.loads),
            outages=tuple(self.outages),
            troubles=tuple(troubles),
        )


def _drawing(host: str, drawn: Drawn, prompts: Mapping[str, Posted]) -> Drawing:
    posted = prompts[drawn.prompt_id]
    return Drawing(
        host=host,
        prompt_id=drawn.prompt_id,
        picture=picture_of(posted.graph, posted.extra_data),
        began=drawn.when - drawn.seconds,
        seconds=drawn.seconds,
        succeeded=drawn.succeeded,
    )
