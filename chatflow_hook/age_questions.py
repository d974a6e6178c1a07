"""Whether a user is asked for their age, and what their answer stores: the steps of the hook's calls."""

from dataclasses import dataclass

from pydantic import SecretStr
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook import age_confirmation, quota, safety_memory
from chatflow_hook.keyed_hash import read_secret


@dataclass(frozen=True, kw_only=True)
class AgeQuestions:
    """Asks and stores by one version of the text; each method is a step in the caller's transaction.

    `hash_secret`: with which the id of a user who has said to be under 18 is hashed; None is the
    secret in the database.
    """

    text_version: str
    hash_secret: SecretStr | None

    async def confirm(
        self, connection: AsyncConnection, user_id: int, *, language: str | None
    ) -> bool:
        """Store a confirmation; False, and nothing is stored, if the user has to wait."""
        # Locked, so that what a worker learns at this moment is seen, or revokes this.
        await quota.lock_user(connection, user_id)
        if await self._waits(connection, user_id):
            return False
        await connection.execute(
            age_confirmation.confirm(user_id, text_version=self.text_version, language=language)
        )
        return True

    async def is_confirmed(self, connection: AsyncConnection, user_id: int) -> bool:
        """Return whether a user has confirmed this version of the text, and not revoked it."""
        query = select(age_confirmation.is_confirmed(user_id, text_version=self.text_version))
        return (await connection.execute(query)).scalar_one()

    async def may_ask(self, connection: AsyncConnection, user_id: int) -> bool:
        """Return whether a user has not confirmed this version of the text, and may do so now."""
        if await self.is_confirmed(connection, user_id):
            return False
        return not await self._waits(connection, user_id)

    async def claim(self, connection: AsyncConnection, user_id: int) -> bool:
        """Return whether to ask a user now, and note that they were asked."""
        version = self.text_version
        is_settled = or_(
            age_confirmation.was_asked(user_id, text_version=version),
            age_confirmation.is_confirmed(user_id, text_version=version),
        )
        if (await connection.execute(select(is_settled))).scalar_one():
            return False
        if await self._waits(connection, user_id):
            return False
        claim = age_confirmation.claim_question(user_id, text_version=version)
        return (await connection.execute(claim)).one_or_none() is not None

    async def _waits(self, connection: AsyncConnection, user_id: int) -> bool:
        """Whether a user has said to be under 18 lately, so that confirming has no effect."""
        key = safety_memory.user_key(await read_secret(connection, self.hash_secret), user_id)
        return await safety_memory.waits_until(connection, key) is not None
