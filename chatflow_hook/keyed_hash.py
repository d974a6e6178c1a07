"""Hashes with a secret of this installation, so that short texts cannot be guessed back from them."""

import hashlib
import hmac
import secrets

from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook.tables import HashSecret

_SECRET_BYTES = 32
_STORED = select(HashSecret.secret)


async def read_secret(connection: AsyncConnection, given: SecretStr | None) -> bytes:
    """Return the secret: `given` (HASH_SECRET) if it is set, else the one that the database keeps.

    The first call on a database makes one. It does not commit: use the secret in the transaction
    of `connection` only, since a rollback takes a new one back.
    """
    if given is not None:
        return given.get_secret_value().encode()
    stored = (await connection.execute(_STORED)).scalar_one_or_none()
    if stored is None:
        # If another transaction makes one at the same time, this waits for its end.
        made = insert(HashSecret).values(secret=secrets.token_bytes(_SECRET_BYTES))
        await connection.execute(made.on_conflict_do_nothing())
        stored = (await connection.execute(_STORED)).scalar_one()
    return stored


def keyed_hash(secret: bytes, text: str, *, purpose: str) -> str:
    """Return a hash (HMAC-SHA256, 64 hexadecimal digits) of a text; pure.

    `purpose` is a name such as `safety_audit`: equal texts of two purposes have different hashes.
    """
    message = f"{purpose}\n{text}".encode(errors="replace")
    return hmac.new(secret, message, hashlib.sha256).hexdigest()
