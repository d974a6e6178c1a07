"""Writes what the content screen finds into the table `safety_audit`."""

from collections.abc import Sequence

from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.keyed_hash import keyed_hash, read_secret
from chatflow_hook.tables import ImageRequest
from imagegen.db.engine import one_or_none, run_in_transaction
from imagegen.db.tables import SafetyAuditEntry
from imagegen.requests.claim import ClaimedRequest
from imagegen.safety.refusal import Refused
from imagegen.safety.screen import VERSION, Finding, ScreenVerdict


class SafetyAudit:
    """Writes what the screen found; each finding of a request only once.

    `hash_secret` is HASH_SECRET, None if the database keeps the secret.
    """

    def __init__(self, engine: AsyncEngine, *, hash_secret: SecretStr | None = None) -> None:
        self._engine = engine
        self._hash_secret = hash_secret

    async def record_refusal(
        self, request: ClaimedRequest, stage: str, error: Refused, words: str = ""
    ) -> None:
        """Write that a picture was refused by the rule that is the code of an error.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        finding = Finding(verdict=ScreenVerdict.REFUSED, rule=error.code)
        await self.record(request, stage, [finding], words)

    async def record(
        self, request: ClaimedRequest, stage: str, findings: Sequence[Finding], words: str
    ) -> None:
        """Write findings with their rules and the user; of `words` only a keyed hash is kept.

        `stage` is `conversation`, `prompt`, `scene`, `image` or `delivery`. Nothing is written if
        the request was erased.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        if not findings:
            return
        # The lock makes who erases the user wait, and then see the entries: they are erased as well.
        owner = (
            select(ImageRequest.user_id)
            .where(ImageRequest.id == request.id)
            .with_for_update(read=True, key_share=True)
        )

        async def step(connection: AsyncConnection) -> None:
            secret = await read_secret(connection, self._hash_secret)
            row = await one_or_none(connection, owner)
            if row is None:
                return
            text_hash = keyed_hash(secret, words, purpose=SafetyAuditEntry.__tablename__)
            entries = [
                {
                    "request_id": request.id,
                    "user_id": row.user_id,
                    "stage": stage,
                    "verdict": finding.verdict.name.lower(),
                    "rule": finding.rule,
                    "version": VERSION,
                    "text_hash": text_hash,
                }
                for finding in findings
            ]
            await connection.execute(insert(SafetyAuditEntry).on_conflict_do_nothing(), entries)

        await run_in_transaction(self._engine, step)
