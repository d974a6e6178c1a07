"""All errors of imagegen that are raised on purpose, in two families named for what to do next.

    ImagegenError               raised on purpose, has a code
        Unavailable             try elsewhere or later
            HostLost            the ComfyUI host is unreachable
                WebSocketLost   the host's websocket is closed
            HostBusy            gave up its place behind other prompts
            HostLacks           the host lacks a node or model
            HostRemoved         an operator took the host away
            PromptLost          the prompt vanished from its host
            DrawingFailed       a node raised an error
            LoadingTooSlow      no step for COMFYUI_LOADING_TIMEOUT
            DrawingTooSlow      drawing took longer than GENERATION_TIMEOUT
            DrawingStalled      no progress for COMFYUI_SILENCE_TIMEOUT
            OutOfMemory         a node ran out of memory
            NotSent             the picture certainly did not arrive
            FloodWait           Telegram demands a pause in seconds
            FileUnknown         Telegram has forgotten the file id
            PlaceRefused        the topic or the reply is refused
            PhotoRefused        the file is no photo for Telegram
            AnswerUnknown       a refusal that we cannot name
            MessageGone         the status message was deleted
            DraftRefused        the chat takes no drafts
            ToldLater           other messages to the chat come first
            OutcomeUnknown      the picture may have arrived
            TokenRevoked        Telegram rejects the bot token
            StoreUnavailable    the image store cannot be used
            NoScene             the language model gave no scene
            WorkerStops         the worker shuts down before drawing
            Paused              an operator has paused persona or kind
            Unexpected          nobody foresaw it; all may fail alike
                DatabaseRefused PostgreSQL refuses a statement
            ConversationUnreadable  written by a newer version
        Rejected                would fail again: end the request
            PromptRefused       ComfyUI rejects the graph
            NobodyCanDraw       no host has all required models
            ImageMissing        the prompt produced no image
            ImageGone           the host deleted the finished image
            BadImage            the host's file is no image
            ImageTooLarge       too many bytes or pixels
            DeliveryUnknown     perhaps sent, must not be repeated
            ChatGone            blocked, restricted or deleted chat
            SendRefused         Telegram rejects this message
            ImageLost           a stored image is gone or damaged
            CostLimitReached    COST_LIMIT_PER_DAY is used up
            TooLate             the request is too old
                PausedTooLong   it was paused until it was too old
            WorkflowFault       a persona's files have a fault
            UnknownPersona      no persona has this name
            WorkflowsMissing    the directory contains no persona
            Refused             the content policy refuses the picture
                RatingWithdrawn the user may not have it any more
                ImageRefused    the operator's image screen refused it
            Poisonous           the request crashed several workers
            DialogUnreadable    a dialog file cannot be read
        ClaimLost               another job has claimed the request
        RequestNotFound         no or several requests match an id
        NotRetried              the failed request cannot be retried
        LibraryNotReloaded      a broken persona: all stay as before
        PauseRefused            there is nothing of this name to pause
        MigrationStopped        the database was left as before
        SandboxError            a part of the sandbox cannot start
            FaultError          an unknown fault was asked for
            BadModel            not written as FOLDER=FILE
            BadFault            not a fault of the sandbox Telegram
            BadToken            not a token as BotFather gives
            NothingToPress      the message has no such button
            NothingToWrite      an empty or too long text
        DemoFailed              the demo did not deliver every picture

Not in this tree: `MalformedFrame`, a ValueError that stays inside of `imagegen.comfy`, and the
errors of `chatflow_hook`, which does not import this package.
"""

import logging


class ImagegenError(Exception):
    """Raised on purpose: `code` is short and stable, `sentence` says to people what happened.

    `level` is the level at which the error is logged, ERROR where an operator has to look at it.
    """

    code = "internal"
    level = logging.ERROR

    def __init__(self, sentence: str, *, code: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code or self.code


class Unavailable(ImagegenError):
    """The same request may succeed elsewhere or later: it goes back to the queue.

    `retry_after_s`: how many seconds the other side asked us to wait, None if it did not say.
    `costs_an_attempt`: True if the request itself failed, which may happen a few times only; False
    for an outage, which may last as long as it likes.
    """

    code = "unavailable"
    level = logging.WARNING
    costs_an_attempt = False

    def __init__(
        self, sentence: str, *, code: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(sentence, code=code)
        self.retry_after_s = retry_after_s


class Unexpected(Unavailable):
    """Nobody foresaw this: it may be the fault of this one request, or all requests may fail alike.

    `reason` names the trouble without any value, so that the circuit breaker
    (imagegen/queue/circuit_breaker.py) can compare it with that of other requests.
    `costs_an_attempt` is True if the request itself may be the cause.
    """

    code = "internal"
    level = logging.ERROR

    def __init__(self, sentence: str, *, reason: str, costs_an_attempt: bool = True) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.costs_an_attempt = costs_an_attempt


class Rejected(ImagegenError):
    """The same request would fail again: it ends, and the reason is stored in its row."""

    code = "rejected"
