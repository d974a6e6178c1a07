"""The worker's log, in good and bad runs: no secret and no text of a conversation."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chatflow_hook.tables import State
from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.valkey import ValkeyServer
from imagegen.sandbox.telegram import Trouble
from tests.support import worker_process
from tests.support.language_model import ChatServer, says
from tests.support.llm_answers import SCENE
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct, required_models
from tests.support.worker_process import WorkerProcess

SAID = {"text": "marmalade under an umbrella", "reply": "a clandestine smile", "caption": "for Zoë"}
HOST_TOKEN = "host-token-7413"
HEADER = "header-secret-8261"
MODEL_SECRETS = ("model-user-3195", "model-password-5520", "model-query-9074", "model-key-6638")


@pytest.fixture
def database_url(postgres: PostgresServer) -> str:
    return postgres.url


@pytest.fixture
def redis_url() -> Iterator[str]:
    with ValkeyServer(password="redis-secret-!#") as server:
        yield server.url


def variables(product: RunningProduct, **changes: str) -> dict[str, str]:
    return (
        worker_process.environment(
            product.settings, COMFYUI_TOKEN=HOST_TOKEN, COMFYUI_HEADERS=f'{{"X-Key": "{HEADER}"}}'
        )
        | changes
    )


def leaks(product: RunningProduct, worker: WorkerProcess) -> list[str]:
    """Return what is in the log and must not be; every word of a conversation counts."""
    settings = product.settings
    secrets = [
        urlsplit(settings.database_url.get_secret_value()).password or "",
        "redis-secret",
        settings.telegram_bot_token.get_secret_value().partition(":")[2],
        HOST_TOKEN,
        HEADER,
        *MODEL_SECRETS,
    ]
    words = ("marmalade", "umbrella", "clandestine", "Zoë", "Zo\\u00eb", "adult", "KSampler")
    assert all(secrets)
    return [each for each in (*secrets, *words) if each in worker.output]


async def test_nothing_leaks_while_telegram_fails_in_many_ways(
    products: ProductFactory, tmp_path: Path
) -> None:
    async with products.start(works=False) as product:
        product.telegram.script(
            Trouble.bad_gateway(),
            Trouble.server_error(),
            Trouble.refused(400, "Bad Request: CHAT_RESTRICTED, marked by the test"),
            Trouble.drop(),
            method="sendPhoto",
        )
        async with worker_process.running(tmp_path / "home", variables(product)) as worker:
            ended = [await product.picture(dialog_id=number, **SAID) for number in (1, 2, 3)]
            product.telegram.script(Trouble.unauthorized(), method="sendPhoto")
            await product.ask(dialog_id=4, **SAID)
            await worker.wait_for_log("telegram_unauthorized", timeout_s=PATIENCE_S)

        assert {picture.state for picture in ended} == {State.DELIVERED, State.FAILED}
        assert '"request waits"' in worker.output
        assert '"request ended"' in worker.output
        assert leaks(product, worker) == []


async def test_nothing_leaks_while_hosts_and_postgresql_fail(
    products: ProductFactory, postgres: PostgresServer, tmp_path: Path
) -> None:
    async with products.start(works=False, hosts=2) as product:
        refused = await product.ask(dialog_id=1, **SAID)
        postgres.stop()
        for host in product.hosts:
            await host.kill()
        async with worker_process.running(tmp_path / "home", variables(product)) as worker:
            await worker.wait_for_log("host failed", timeout_s=PATIENCE_S)
            await worker.wait_for_log("request waits", timeout_s=PATIENCE_S)
            for host in product.hosts:
                host.models = {**required_models(), "loras": ["other.safetensors"]}
                await host.start()
            postgres.start()
            picture = await product.hook.wait(refused, timeout=PATIENCE_S)

        assert (picture.state, picture.error_code) == (State.FAILED, "model_missing")
        assert leaks(product, worker) == []


async def test_nothing_leaks_while_telegram_is_away(
    products: ProductFactory, tmp_path: Path
) -> None:
    async with products.start(works=False) as product:
        away = variables(product, TELEGRAM_API_URL="http://127.0.0.1:1")
        async with worker_process.running(tmp_path / "home", away) as worker:
            await product.ask(**SAID)
            await worker.wait_for_log("request waits", timeout_s=PATIENCE_S)

        assert leaks(product, worker) == []


async def test_nothing_leaks_of_the_language_models_address(
    products: ProductFactory, tmp_path: Path
) -> None:
    user, password, query, key = MODEL_SECRETS
    async with ChatServer(says(SCENE)).running() as model, products.start(works=False) as product:
        address = model.url.replace("http://", f"http://{user}:{password}@") + f"v1?key={query}"
        with_model = variables(product, PROMPT_LLM_URL=address, PROMPT_LLM_API_KEY=key)
        async with worker_process.running(tmp_path / "home", with_model) as worker:
            picture = await product.picture(**SAID)

        assert picture.state is State.DELIVERED
        assert SCENE["scene"] in product.prompts()[0]
        assert leaks(product, worker) == []
