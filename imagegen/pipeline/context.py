"""What all jobs of a worker share; `imagegen/bootstrap.py` builds it, the worker closes it."""

from dataclasses import dataclass

from chatflow_hook.tracing import Tracing
from imagegen.delivery.chat_sender import ChatSender
from imagegen.delivery.message import AiMark
from imagegen.delivery.telegram import Telegram
from imagegen.metrics import Metrics
from imagegen.pipeline.chat_progress import ChatProgress
from imagegen.pipeline.content_policy import ContentPolicy
from imagegen.pipeline.cost_limit import CostLimit
from imagegen.pipeline.end_notices import EndNotices
from imagegen.pipeline.image_cache import ImageCache
from imagegen.pipeline.pause_gate import PauseGate
from imagegen.pipeline.photo_message import PhotoMessages
from imagegen.pipeline.quarantine import Quarantine
from imagegen.pipeline.safety_audit import SafetyAudit
from imagegen.pipeline.turn_reader import TurnReader
from imagegen.pool.pool import Pool
from imagegen.queue.circuit_breaker import CircuitBreaker
from imagegen.queue.live_progress import LiveProgress
from imagegen.requests.deliveries import Deliveries
from imagegen.requests.repository import RequestRepository
from imagegen.safety.image_screen import ImageScreen
from imagegen.storage.image_links import ImageLinks
from imagegen.storage.store import ImageStore
from imagegen.workflows.reload import ReloadableLibrary


@dataclass(frozen=True, kw_only=True)
class JobContext:
    """The shared objects and limits of one worker's jobs.

    Attributes:
        image_screen: the operator's check of finished images, None if there is none.
        ai_mark: where a photo says to people that a machine made it.
        image_links: makes addresses of images that the worker serves, None if it serves none.
        max_age_s: seconds after queueing at which a request expires (REQUEST_MAX_AGE); 0 for never.
        max_attempts: how often a request may fail before it ends, outages not counted.
        max_unknown_sends: give up after this many sends with an unknown outcome.
        notify_after_s: a picture that comes later than this after its request is a new message,
            which notifies, and not an edit of the status message.
        keep_outputs: whether hosts keep the images in their output folder.
        memory_retry_s: seconds after which a picture is tried again that ran out of memory.
        lease_s: how long a job stays locked after its worker's last renewal.
    """

    metrics: Metrics
    tracing: Tracing
    requests: RequestRepository
    deliveries: Deliveries
    library: ReloadableLibrary
    content_policy: ContentPolicy
    turn_reader: TurnReader
    safety_audit: SafetyAudit
    image_cache: ImageCache
    cost_limit: CostLimit
    image_screen: ImageScreen | None
    pool: Pool
    image_store: ImageStore
    image_links: ImageLinks | None
    telegram: Telegram
    photo_messages: PhotoMessages
    chat_sender: ChatSender
    chat_progress: ChatProgress
    end_notices: EndNotices
    progress: LiveProgress
    quarantine: Quarantine
    pause_gate: PauseGate
    circuit_breaker: CircuitBreaker
    ai_mark: AiMark
    max_age_s: float
    max_attempts: int
    max_unknown_sends: int
    notify_after_s: float
    keep_outputs: bool
    memory_retry_s: float
    lease_s: float
