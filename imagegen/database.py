"""The worker's way to PostgreSQL."""

from typing import Any

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from chatflow_hook import database_url
from chatflow_hook.database import check_on_checkout

# A server that answers neither is frozen or gone, and the request goes back to the queue.
_CONNECT_TIMEOUT_S = 5.0
_COMMAND_TIMEOUT_S = 15.0
# As long as a connection may be waited for while all are in use.
_POOL_TIMEOUT_S = 10.0


def connect(
    url: SecretStr | str,
    *,
    pool_size: int = 10,
    command_timeout_s: float = _COMMAND_TIMEOUT_S,
) -> AsyncEngine:
    """Make an engine; opens no connection. The caller disposes of it. Raises ValueError."""
    address = database_url.parse(url.get_secret_value() if isinstance(url, SecretStr) else url)
    defaults: dict[str, Any] = {
        "timeout": _CONNECT_TIMEOUT_S,
        "command_timeout": command_timeout_s,
    }
    settings = {"application_name": "chatflow-imagegen"}
    connect_args = defaults | address.connect_args
    connect_args["server_settings"] = settings | connect_args.get("server_settings", {})
    return check_on_checkout(
        create_async_engine(
            address.url,
            connect_args=connect_args,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_POOL_TIMEOUT_S,
            # An error never quotes what people wrote.
            hide_parameters=True,
        )
    )
