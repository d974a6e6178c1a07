"""The output of `imagegen purge` and `imagegen forget`, as text and as JSON; pure."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from chatflow_hook.handles import SentPhoto
from chatflow_hook.user_erasure import Forgotten
from imagegen.maintenance.image_cleanup import CleanupCounts
from imagegen.maintenance.retention_parts import RetentionCounts
from imagegen.maintenance.user_erasure import UserErasureReport


def purge_as_text(counts: RetentionCounts, *, is_dry_run: bool) -> str:
    """Return a line for each kind of thing that was erased, or would be in a dry run."""
    verb = "would be erased" if is_dry_run else "erased"
    lines = (
        f"{counts.contexts:>7} conversations of failed requests",
        f"{counts.requests:>7} requests, with their deliveries",
        f"{counts.cancelled:>7} open requests of dialogs that are gone, called off first",
        f"{counts.pictures:>7} pictures, of {counts.emptied} requests that stay and of those erased",
        f"{counts.orphans:>7} files in the store that no request names",
        f"{counts.notes:>7} notes of what the screen found",
        f"{counts.turns:>7} turns that were read for ages",
        f"{counts.memories:>7} users and dialogs that are not kept safe any more",
    )
    return "\n".join([f"{verb}:", *lines])


def erasure_as_text(report: UserErasureReport) -> str:
    """Return what was erased of a user, what cannot be erased by us, and what is kept."""
    erased, kept = report.forgotten, _kept(report.kept_until)
    if not erased.requests and not erased.dialogs:
        if report.kept_until is None:
            return f"nothing of user {report.user_id} is kept"
        return f"there is no request and no dialog of user {report.user_id}\nkept: {kept}"
    return "\n".join(
        [
            f"erased of user {report.user_id}:",
            f"  requests: {erased.requests}, of which open: {erased.open_requests}",
            f"  deliveries: {erased.deliveries}",
            f"  dialogs: {erased.dialogs}",
            f"  pictures: {_pictures(report)}",
            "beyond reach:",
            *(f"  {line}" for line in _beyond_reach(erased) or ["nothing"]),
            f"kept: {kept}",
        ]
    )


def erasure_as_json(report: UserErasureReport) -> dict[str, Any]:
    """Return the same as plain objects; the worker erases `pictures_left` later."""
    counts = asdict(report.forgotten)
    beyond_reach = ("photos", "unknown_sends", "hosts")
    images = report.images or CleanupCounts(left=report.forgotten.pictures)
    return {
        "user_id": report.user_id,
        "erased": {name: value for name, value in counts.items() if name not in beyond_reach},
        "pictures_erased": images.erased,
        "pictures_shared": images.kept,
        "pictures_left": images.left,
        "beyond_reach": {name: counts[name] for name in beyond_reach},
        "kept_until": report.kept_until and report.kept_until.isoformat(),
    }


def _kept(until: datetime | None) -> str:
    if until is None:
        return "nothing"
    day = f"{until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"a keyed hash of the id, until {day}; before then no age can be confirmed"


def _pictures(report: UserErasureReport) -> str:
    if report.forgotten.pictures == 0:
        return "0"
    if report.images is None:
        return f"{report.forgotten.pictures}, by the worker within minutes: the store is not here"
    parts = [str(report.images.erased)]
    if report.images.left:
        parts.append(f"{report.images.left} more by the worker within minutes")
    if report.images.kept:
        parts.append(f"{report.images.kept} kept, since somebody else has the very same")
    return ", ".join(parts)


def _beyond_reach(erased: Forgotten) -> list[str]:
    lines = [
        f"photos in chat {chat_id} of Telegram: messages {messages}"
        for chat_id, messages in _by_chat(erased.photos).items()
    ]
    if erased.unknown_sends:
        lines.append(f"sends that may have arrived, unknown: {erased.unknown_sends}")
    if erased.hosts:
        lines.append(f"files on {', '.join(erased.hosts)}, until ComfyUI empties its temp folder")
    return lines


def _by_chat(photos: Sequence[SentPhoto]) -> dict[int, str]:
    chats: dict[int, list[str]] = {}
    for photo in photos:
        chats.setdefault(photo.chat_id, []).append(str(photo.message_id))
    return {chat_id: ", ".join(messages) for chat_id, messages in chats.items()}
