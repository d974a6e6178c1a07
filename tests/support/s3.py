"""An S3 server of its own for each test that needs one."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

from moto.server import ThreadedMotoServer

from imagegen.settings import StoreSettings


@dataclass(frozen=True)
class S3:
    """A server at `endpoint` with one bucket, and how to stop it."""

    endpoint: str
    server: ThreadedMotoServer

    def variables(self, image_store: str = "s3://pictures/of/лина") -> dict[str, str]:
        return {
            "IMAGE_STORE": image_store,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key-of-a-test",
            "AWS_SECRET_ACCESS_KEY": "secret-of-a-test",
        }

    def settings(self, image_store: str = "s3://pictures/of/лина", **changes: str) -> StoreSettings:
        named: dict[str, Any] = {
            name.lower(): value for name, value in self.variables(image_store).items()
        }
        return StoreSettings(_env_file=None, **(named | changes))


@contextmanager
def served() -> Iterator[S3]:
    """Run a server with an empty bucket while the block runs."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    try:
        # The account is the process's: what an earlier test stored goes first.
        for path, method in (("/moto-api/reset", "POST"), ("/pictures", "PUT")):
            with urlopen(Request(endpoint + path, method=method)) as answer:  # noqa: S310 (ours)
                assert answer.status == 200
        yield S3(endpoint, server)
    finally:
        server.stop()
