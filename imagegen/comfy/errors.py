"""What a ComfyUI host can give instead of a picture."""

from imagegen.errors import Rejected, Unavailable


class HostLost(Unavailable):
    """The host is away, silent or unreachable: another may draw the picture."""

    code = "host_lost"


class HostBusy(Unavailable):
    """The prompt waited longer than COMFYUI_QUEUE_TIMEOUT behind others on a host that is well."""

    code = "host_busy"


class HostLacks(Unavailable):
    """One host lacks something that the graph names; `code` says what, another may have it."""

    code = "model_missing"


class PromptLost(Unavailable):
    """The host is there and the prompt is not: it restarted, or somebody interrupted it."""

    code = "prompt_lost"


class DrawingFailed(Unavailable):
    """A node raised while the prompt ran."""

    code = "drawing_failed"
    costs_an_attempt = True


class DrawingTooSlow(Unavailable):
    """The prompt ran longer than GENERATION_TIMEOUT."""

    code = "generation_timeout"
    costs_an_attempt = True


class DrawingStalled(Unavailable):
    """The host answers and the prompt runs, but has not moved for COMFYUI_SILENCE_TIMEOUT."""

    code = "drawing_stalled"
    costs_an_attempt = True


class OutOfMemory(Rejected):
    """A node ran out of memory. The job draws once more; the second time it is the end."""

    code = "out_of_memory"


class PromptRefused(Rejected):
    """The host does not take the graph, and no other would."""

    code = "prompt_refused"


class NobodyCanDraw(Rejected):
    """No host has all that the graph names; `code` says what is missing."""

    code = "model_missing"


class ImageMissing(Rejected):
    """The prompt ended well, but its node made no picture."""

    code = "picture_missing"


class ImageGone(Rejected):
    """The host made a picture and no longer has it. The job draws once more."""

    code = "picture_gone"
