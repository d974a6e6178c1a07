"""What was erased, as people and programs read it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from chatflow_hook.user_erasure import Forgotten, SentPhoto
from imagegen.maintenance.image_cleanup import CleanupCounts
from imagegen.maintenance.retention import RetentionCounts
from imagegen.maintenance.user_erasure import ErasureReport


def purge_as_text(counts: RetentionCounts, *, is_dry_run: bool) -> str:
    """Write a line for each kind."""
    verb = "would be erased" if is_dry_run else "erased"
    lines = (
        f"{counts.contexts:>7} conversations of failed requests",
        f"{counts.requests:>7} requests, with their deliveries",
        f"{counts.cancelled:>7} open requests of dialogs that are gone, called off first",
        f"{counts.pictures:>7} pictures, of {counts.emptied} requests that stay and of those erased",
        f"{counts.orphans:>7} files in the store that no request names",
        f"{counts.notes:>7} notes of what the screen found",
    )
    return "\n".join([f"{verb}:", *lines])


def erasure_as_text(report: ErasureReport) -> str:
    """Write what was erased, and what is beyond reach."""
    told = report.told
    if not told.requests:
        return f"nothing of user {report.user_id} is kept"
    return "\n".join(
        [
            f"erased of user {report.user_id}:",
            f"  requests: {told.requests}, of which open: {told.open_requests}",
            f"  deliveries: {told.deliveries}",
            f"  dialogs: {told.dialogs}",
            f"  pictures: {_pictures(report)}",
            "beyond reach:",
            *(f"  {line}" for line in _beyond_reach(told) or ["nothing"]),
        ]
    )


def erasure_as_json(report: ErasureReport) -> dict[str, Any]:
    """Give the same as plain objects; `pictures_left` are erased by the worker."""
    told = asdict(report.told)
    names = ("photos", "unknown_sends", "hosts")
    store = report.store or CleanupCounts(left=report.told.pictures)
    return {
        "user_id": report.user_id,
        "erased": {name: value for name, value in told.items() if name not in names},
        "pictures_erased": store.erased,
        "pictures_shared": store.kept,
        "pictures_left": store.left,
        "beyond_reach": {name: told[name] for name in names},
    }


def _pictures(report: ErasureReport) -> str:
    if report.told.pictures == 0:
        return "0"
    if report.store is None:
        return f"{report.told.pictures}, by the worker within minutes: the store is not here"
    parts = [str(report.store.erased)]
    if report.store.left:
        parts.append(f"{report.store.left} more by the worker within minutes")
    if report.store.kept:
        parts.append(f"{report.store.kept} kept, since somebody else has the very same")
    return ", ".join(parts)


def _beyond_reach(told: Forgotten) -> list[str]:
    lines = [
        f"photos in chat {chat_id} of Telegram: messages {messages}"
        for chat_id, messages in _by_chat(told.photos).items()
    ]
    if told.unknown_sends:
        lines.append(f"sends that may have arrived, unknown: {told.unknown_sends}")
    if told.hosts:
        lines.append(f"files on {', '.join(told.hosts)}, until ComfyUI empties its temp folder")
    return lines


def _by_chat(photos: Sequence[SentPhoto]) -> dict[int, str]:
    chats: dict[int, list[str]] = {}
    for photo in photos:
        chats.setdefault(photo.chat_id, []).append(str(photo.message_id))
    return {chat_id: ", ".join(messages) for chat_id, messages in chats.items()}
