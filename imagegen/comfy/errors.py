"""The errors of a ComfyUI host: what it can give instead of an image.

Unavailable
├── HostLost            the host does not answer
│   └── WebSocketLost   only its websocket is closed (websocket.py)
├── HostBusy            the prompt gave up its place in the host's queue
├── HostLacks           this host lacks a model file or a node class
├── HostRemoved         an operator took the host away while the prompt ran
├── PromptLost          the host answers and does not have the prompt
├── DrawingFailed       a node raised an exception          (costs an attempt)
├── LoadingTooSlow      the host loaded models for too long (costs an attempt)
├── DrawingTooSlow      the prompt ran too long             (costs an attempt)
├── DrawingStalled      the prompt runs and does not move   (costs an attempt)
└── OutOfMemory         a node ran out of memory            (costs an attempt)
Rejected
├── PromptRefused       the host does not accept the graph
├── NobodyCanDraw       no host has what the graph requires
├── ImageMissing        the prompt ended and made no image
└── ImageGone           the host has deleted the image
"""

from imagegen.errors import Rejected, Unavailable


class HostLost(Unavailable):
    """The host is unreachable or does not answer; another host may draw the image."""

    code = "host_lost"


class HostBusy(Unavailable):
    """The prompt gave up its place in the host's queue, since another host would begin it sooner.

    The host itself is well.
    """

    code = "host_busy"


class HostLacks(Unavailable):
    """One host lacks a model file or node class of the graph; another host may have it.

    `code` says which: `model_missing` or `node_missing`.
    """

    code = "model_missing"


class HostRemoved(Unavailable):
    """An operator has removed the host at once, so that its prompts are drawn elsewhere."""

    code = "host_removed"


class PromptLost(Unavailable):
    """The host answers, but the prompt is gone: the host restarted, or the prompt was interrupted."""

    code = "prompt_lost"


class DrawingFailed(Unavailable):
    """A node raised an exception while the prompt ran."""

    code = "drawing_failed"
    costs_an_attempt = True


class LoadingTooSlow(Unavailable):
    """The host did not load the models within COMFYUI_LOADING_TIMEOUT; it may go on loading them."""

    code = "loading_timeout"
    costs_an_attempt = True


class DrawingTooSlow(Unavailable):
    """The prompt ran longer than GENERATION_TIMEOUT."""

    code = "generation_timeout"
    costs_an_attempt = True


class DrawingStalled(Unavailable):
    """The host answers and the prompt runs, but made no progress for COMFYUI_SILENCE_TIMEOUT."""

    code = "drawing_stalled"
    costs_an_attempt = True


class OutOfMemory(Unavailable):
    """A node ran out of memory; another host may have enough, or this one later."""

    code = "out_of_memory"
    costs_an_attempt = True


class PromptRefused(Rejected):
    """The host does not accept the graph, and no other host would."""

    code = "prompt_refused"


class NobodyCanDraw(Rejected):
    """No host has all that the graph requires.

    `code` says what is missing: `model_missing` or `node_missing`.
    """

    code = "model_missing"


class ImageMissing(Rejected):
    """The prompt ended well, but its output node made no image."""

    code = "picture_missing"


class ImageGone(Rejected):
    """The host made an image and no longer has it. The job draws once more."""

    code = "picture_gone"
