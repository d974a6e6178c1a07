"""Writes what the content screen finds into the table `safety_audit`."""

import hashlib

from sqlalchemy import Text, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import ImageRequest
from imagegen.db.engine import run_statement
from imagegen.db.tables import SafetyAuditEntry
from imagegen.requests.claim import ClaimedRequest
from imagegen.safety.screen import VERSION, Finding


class SafetyAudit:
    """Writes what the screen found; each finding of a request only once."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def record(
        self, request: ClaimedRequest, stage: str, finding: Finding, words: str
    ) -> None:
        """Write a finding, with its rule and user; of `words` only the SHA-256 is kept.

        `stage` is `conversation` or `prompt`. Nothing is written if the request was erased.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        found = {
            "stage": stage,
            "verdict": finding.verdict.name.lower(),
            "rule": finding.rule,
            "version": VERSION,
            "text_hash": hashlib.sha256(words.encode(errors="replace")).hexdigest(),
        }
        # The lock makes who erases the user wait, and then see the entry: it is erased as well.
        source = (
            select(
                ImageRequest.id,
                ImageRequest.user_id,
                *(literal(value, Text) for value in found.values()),
            )
            .where(ImageRequest.id == request.id)
            .with_for_update(read=True, key_share=True)
        )
        query = insert(SafetyAuditEntry).from_select(["request_id", "user_id", *found], source)
        await run_statement(
            self._engine, lambda connection: connection.execute(query.on_conflict_do_nothing())
        )
