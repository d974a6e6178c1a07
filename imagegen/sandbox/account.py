"""The account that a server runs under when we are root: PostgreSQL refuses to be root."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from imagegen.sandbox.errors import SandboxError


@dataclass(frozen=True, kw_only=True)
class Account:
    uid: int
    gid: int


def unprivileged() -> Account | None:
    """Return the existing account `nobody` when we are root, None when we are not."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise SandboxError(
            "PostgreSQL does not run as root and there is no user `nobody`: "
            "start this as an ordinary user"
        ) from error
    return Account(uid=nobody.pw_uid, gid=nobody.pw_gid)


def reaches(account: Account, path: Path) -> bool:
    """Say whether the account may enter the directory `path` and look into it."""
    real = path.resolve()
    return all(_enters(account, step) for step in (real, *real.parents))


def _enters(account: Account, path: Path) -> bool:
    found = path.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
