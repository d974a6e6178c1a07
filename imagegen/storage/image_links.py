"""Addresses of images that the worker serves itself: each is signed, and valid for a limited time."""

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

PATH = "/images/{request_id}"

# What the key signs besides images would have another purpose.
_PURPOSE = b"chatflow-imagegen image address"


@dataclass(frozen=True, kw_only=True)
class ImageLinks:
    """Makes and checks addresses.

    `base` is the address at which callers reach a worker. Workers with the same `secret` take each
    other's addresses. `valid_s`: for how many seconds an address is valid. `clock` returns the time
    in seconds since the epoch.
    """

    base: str
    secret: str = field(repr=False)
    valid_s: float
    clock: Callable[[], float] = time.time

    def url(self, request_id: UUID) -> str:
        """Return the address of the image of a request, valid from now on."""
        expires = str(int(self.clock() + self.valid_s))
        path = PATH.format(request_id=request_id)
        signature = self._signature(request_id, expires)
        return f"{self.base.rstrip('/')}{path}?expires={expires}&signature={signature}"

    def is_valid(self, request_id: UUID, *, expires: str, signature: str) -> bool:
        """Whether an address was made with our secret, and its time is not over."""
        ours = self._signature(request_id, expires)
        is_ours = hmac.compare_digest(ours.encode(), signature.encode(errors="replace"))
        # What we have signed is a number, and what others write may be anything.
        return is_ours and self.clock() < int(expires)

    def _signature(self, request_id: UUID, expires: str) -> str:
        key = hmac.digest(self.secret.encode(), _PURPOSE, hashlib.sha256)
        text = f"{request_id}:{expires}".encode(errors="replace")
        return hmac.digest(key, text, hashlib.sha256).hex()
