"""What a ComfyUI host can give instead of a picture."""

from imagegen.errors import Rejected, Unavailable


class HostLost(Unavailable):
    """The host is away, silent or unreachable: another may draw the picture."""

    code = "host_lost"


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


class PromptRefused(Rejected):
    """The host does not take the graph."""

    code = "prompt_refused"


class PictureMissing(Rejected):
    """The prompt ended well, but there is no picture at its node."""

    code = "picture_missing"
