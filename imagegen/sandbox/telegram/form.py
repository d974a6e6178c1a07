"""What a call to the Bot API carries, read from its query or body."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from json import JSONDecodeError, loads
from typing import Any

from aiohttp import web

from imagegen.sandbox.telegram.refusals import bad_request, too_large


@dataclass(frozen=True, kw_only=True)
class Upload:
    name: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Form:
    """Fields as text, and uploads by the name that `attach://` uses."""

    fields: Mapping[str, str] = field(default_factory=dict)
    uploads: Mapping[str, Upload] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        return self.fields.get(name)

    def flag(self, name: str) -> bool:
        return self.fields.get(name, "").lower() in {"true", "1"}

    def number(self, name: str) -> int | None:
        text = self.fields.get(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError as error:
            raise bad_request(f"field {name!r} must be a Number") from error

    def thing(self, name: str) -> dict[str, Any]:
        """Return a field that holds a JSON object, empty if there is none."""
        try:
            found = loads(self.fields.get(name) or "{}")
        except JSONDecodeError as error:
            raise bad_request(f"can't parse {name} JSON object") from error
        return found if isinstance(found, dict) else {}

    def upload(self, name: str, reference: str) -> Upload | None:
        """Return the file that a field refers to, or that came under the field's own name."""
        return self.uploads.get(reference.removeprefix("attach://")) or self.uploads.get(name)


async def read(request: web.Request) -> Form:
    """Read a request whole; raises ApiError when it is larger than Telegram takes."""
    try:
        body = await request.post()
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large() from error
    fields, uploads = dict(request.query), {}
    for name, value in body.items():
        if isinstance(value, web.FileField):
            with value.file as body_part:
                uploads[name] = Upload(name=value.filename, content=body_part.read())
        else:
            fields[name] = value if isinstance(value, str) else bytes(value).decode()
    return Form(fields=fields, uploads=uploads)
