"""What all jobs of a worker share; built and closed by the worker."""

from dataclasses import dataclass

from imagegen.delivery.rate_limit import FloodControl
from imagegen.delivery.telegram import Telegram
from imagegen.pipeline.content_policy import ContentPolicy
from imagegen.pipeline.image_cache import ImageCache
from imagegen.pipeline.quarantine import Quarantine
from imagegen.pool.pool import Pool
from imagegen.queue.progress import LiveProgress
from imagegen.requests.deliveries import Deliveries
from imagegen.requests.repository import RequestRepository
from imagegen.safety.image_screen import ImageScreen
from imagegen.storage.store import ImageStore
from imagegen.workflows.library import Library


@dataclass(frozen=True, kw_only=True)
class JobContext:
    """What one worker shares between its jobs. `max_age_s` of 0 is no limit."""

    requests: RequestRepository
    deliveries: Deliveries
    library: Library
    content_policy: ContentPolicy
    image_cache: ImageCache
    image_screen: ImageScreen | None
    pool: Pool
    images: ImageStore
    telegram: Telegram
    flood_control: FloodControl
    progress: LiveProgress
    quarantine: Quarantine
    max_age_s: float
    max_attempts: int
    most_unknown_sends: int
    keep_outputs: bool
    lease_s: float
