"""The audit: what the screen found, by rule; who and when, and never the words."""

import hashlib

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from imagegen.db.engine import run_statement
from imagegen.db.tables import SafetyNote
from imagegen.requests.claim import ClaimedRequest
from imagegen.safety.screen import VERSION, Finding


class Audit:
    """Writes notes; the same finding of the same request once."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def note(self, request: ClaimedRequest, stage: str, finding: Finding, words: str) -> None:
        """Note a finding; `words` are kept as a hash only. Raises Unavailable."""
        query = (
            insert(SafetyNote)
            .values(
                request_id=request.id,
                user_id=request.user_id,
                stage=stage,
                verdict=finding.verdict.name.lower(),
                rule=finding.rule,
                version=VERSION,
                text_hash=hashlib.sha256(words.encode(errors="replace")).hexdigest(),
            )
            .on_conflict_do_nothing()
        )
        await run_statement(self._engine, lambda connection: connection.execute(query))
