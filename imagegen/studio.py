"""Studio: all that jobs work with; built and owned by the worker."""

from dataclasses import dataclass

from imagegen.comfy.pool import Pool
from imagegen.delivery.gate import Gate
from imagegen.delivery.telegram import Telegram
from imagegen.director import Director
from imagegen.images import ImageStore
from imagegen.ledger import Ledger
from imagegen.live import Live
from imagegen.quarantine import Quarantine
from imagegen.requests import Requests
from imagegen.reuse import Reuse
from imagegen.safety.image_screen import ImageScreen
from imagegen.strays import Strays
from imagegen.workflows import Library


@dataclass(frozen=True, kw_only=True)
class Studio:
    """What one worker shares between its jobs. `max_age_s` of 0 is no limit."""

    requests: Requests
    ledger: Ledger
    strays: Strays
    library: Library
    director: Director
    reuse: Reuse
    image_screen: ImageScreen | None
    pool: Pool
    images: ImageStore
    telegram: Telegram
    gate: Gate
    live: Live
    quarantine: Quarantine
    max_age_s: float
    max_attempts: int
    most_unknown_sends: int
    keep_outputs: bool
    lease_s: float
