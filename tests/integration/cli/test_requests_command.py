"""`imagegen requests`: listing, showing, retrying and cancelling requests."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
from click.testing import CliRunner
from redis.asyncio import Redis
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import Dialog, State
from imagegen.cli.app import main
from imagegen.db.tables import Delivery, StrayPrompt
from tests.support import command, conversations, newer_version
from tests.support.aged_rows import SAID, AgedData
from tests.support.command import Ended
from tests.support.conversations import Sessions


@pytest.fixture
async def archive(engine: AsyncEngine, sessions: Sessions, tmp_path: Path) -> AgedData:
    await conversations.put_dialog(sessions)
    return AgedData(engine, tmp_path / "снимки")


class RequestsCommand:
    """Runs `imagegen requests` with the settings of this test."""

    def __init__(self, **variables: str) -> None:
        self.variables = variables

    async def __call__(self, *arguments: str, **changes: str) -> Ended:
        return await command.run("requests", *arguments, **self.variables | changes)


@pytest.fixture
def requests(archive: AgedData, database_url: str, redis_url: str) -> RequestsCommand:
    return RequestsCommand(
        DATABASE_URL=database_url, REDIS_URL=redis_url, IMAGE_STORE=archive.store.as_uri()
    )


async def queued_in(redis_url: str) -> list[str]:
    async with Redis.from_url(redis_url, db=3, decode_responses=True) as redis:
        return [str(job) for job in await redis.zrange("arq:queue", 0, -1)]


async def failed(archive: AgedData, **values: Any) -> UUID:
    usual: dict[str, Any] = {
        "conversation": SAID,
        "error_code": "drawing_failed",
        "error_sentence": "KSampler raised RuntimeError",
        "attempts": 3,
        "crashes": 2,
        "draw": 3,
        "host": "gpu-1:8188",
        "prompt_id": UUID(int=3),
    }
    return await archive.row(State.FAILED, days=0.5, **(usual | values))


async def test_the_list_is_newest_first_and_counted_by_state(
    archive: AgedData, requests: RequestsCommand
) -> None:
    old = await archive.row(State.DELIVERED, days=3)
    failure = await failed(archive)
    newest = await archive.row(State.QUEUED, persona="юля", dialog_id=5)

    text = await requests("list")
    output = (await requests("list", "--json")).told

    lines = text.said.splitlines()
    assert text.code == 0
    assert [line[:8] for line in lines[1:4]] == [str(one)[:8] for one in (newest, failure, old)]
    assert lines[1].split()[1:4] == ["queued", "юля", "5"]
    assert lines[2].split()[1:] == [
        *("failed", "лина", "1", "12", "h", "12", "h", "3", "gpu-1:8188", "drawing_failed")
    ]
    assert lines[-1] == "1 queued, 1 delivered, 1 failed"
    assert [one["id"] for one in output["requests"]] == [str(one) for one in (newest, failure, old)]
    assert (output["counts"]["failed"], output["counts"]["drawing"]) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--state", "failed", "--state", "queued"), {"f", "q"}),
        (("--persona", "ЮЛЯ"), {"q"}),
        (("--dialog", "1"), {"d", "f"}),
        (("--since", "1d"), {"f", "q"}),
        (("--since", "2000-01-01"), {"d", "f", "q"}),
        (("--since", "2000-01-01T10:00+03:00", "--state", "drawn"), set()),
        (("--limit", "1"), {"q"}),
    ],
)
async def test_the_list_can_be_narrowed(
    archive: AgedData, requests: RequestsCommand, arguments: tuple[str, ...], expected: set[str]
) -> None:
    ids = {
        str(await archive.row(State.DELIVERED, days=3)): "d",
        str(await failed(archive)): "f",
        str(await archive.row(State.QUEUED, persona="юля", dialog_id=5)): "q",
    }

    output = (await requests("list", "--json", *arguments)).told

    assert {ids[request["id"]] for request in output["requests"]} == expected


async def test_a_list_that_is_cut_says_so_and_an_empty_one_too(
    archive: AgedData, requests: RequestsCommand
) -> None:
    empty = await requests("list")
    await archive.row(State.DELIVERED)
    await archive.row(State.DELIVERED)

    cut = await requests("list", "--limit", "1")

    assert empty.said == "no such request\n"
    assert cut.said.splitlines()[-1] == "2 delivered; the newest 1 are shown"


async def test_a_sheet_shows_everything_but_what_people_wrote(
    archive: AgedData, requests: RequestsCommand
) -> None:
    request_id = await failed(
        archive, caption="Это тебе", scene={"place": "пляж"}, conversation={"text": "секрет"}
    )
    prompt_id = uuid5(request_id, "2")
    async with archive.sessions.begin() as session:
        await session.execute(
            insert(Delivery).values(request_id=request_id, attempt=1, outcome="unknown")
        )
        await session.execute(insert(StrayPrompt).values(prompt_id=prompt_id, host="gpu-1:8188"))

    text = await requests("show", str(request_id)[:6])
    page = await requests("show", str(request_id).upper(), "--json")

    assert (text.code, page.code) == (0, 0)
    output = page.told
    assert (output["has_conversation"], output["has_scene"], output["has_caption"]) == (
        True,
        True,
        True,
    )
    assert (output["deliveries"][0]["outcome"], output["deliveries"][0]["attempt"]) == (
        "unknown",
        1,
    )
    assert output["stray_prompts"][0]["prompt_id"] == str(prompt_id)
    assert datetime.fromisoformat(output["finished_at"]) < datetime.now(UTC)
    assert "KSampler raised RuntimeError" in text.said
    assert "UTC (12 h ago)" in text.said
    for word in ("секрет", "пляж", "Это тебе", "\\u0441"):
        assert word not in text.said + page.said


@pytest.mark.parametrize(
    ("beginning", "sentence"),
    [
        ("пока", "imagegen: 'пока' is no id: it has to be the beginning of one, like 1f0c9a\n"),
        ("", "imagegen: '' is no id: it has to be the beginning of one, like 1f0c9a\n"),
        ("f" * 33, f"imagegen: '{'f' * 33}' is no id: it has to be the beginning of one"),
        ("00000000-0000", "imagegen: there is no request 00000000-0000\n"),
        ("ab", "imagegen: more than one request begins with ab: give more of its id\n"),
    ],
)
async def test_what_is_not_one_request_is_a_sentence(
    archive: AgedData, requests: RequestsCommand, beginning: str, sentence: str
) -> None:
    for number in (1, 2):
        await archive.row(State.DELIVERED, id=UUID(int=0xAB << 120 | number))

    ended = await requests("show", beginning)

    assert (ended.code, ended.said) == (1, "")
    assert ended.complained.startswith(sentence)
    assert ended.complained.count("\n") == 1


async def test_a_failed_request_is_tried_again_like_a_new_one(
    archive: AgedData, requests: RequestsCommand, redis_url: str
) -> None:
    request_id = await failed(archive)
    before = await conversations.row(archive.sessions, request_id)

    ended = await requests("retry", str(request_id)[:8])

    assert (ended.code, ended.said) == (0, f"{request_id}: queued\n")
    row = await conversations.row(archive.sessions, request_id)
    assert (row.state, row.attempts, row.crashes, row.claim) == (State.QUEUED, 0, 0, None)
    assert (row.error_code, row.error_sentence, row.finished_at) == (None, None, None)
    assert (row.prompt_id, row.draw, row.conversation) == (None, 3, SAID)
    assert row.queued_at > before.queued_at
    assert await queued_in(redis_url) == [str(request_id)]


async def test_a_picture_that_is_still_there_is_not_drawn_again(
    archive: AgedData, requests: RequestsCommand
) -> None:
    name = await archive.picture()
    request_id = await failed(archive, image=name, width=8, height=8)

    ended = await requests("retry", str(request_id), "--json")

    assert ended.told == [
        {"request": str(request_id), "state": "drawn", "why": None, "is_rung": True}
    ]
    assert (await conversations.row(archive.sessions, request_id)).image == name


async def test_a_picture_that_is_gone_is_drawn_again(
    archive: AgedData, requests: RequestsCommand
) -> None:
    request_id = await failed(archive, image="ab.png", image_url="x", width=8, height=8)

    await requests("retry", str(request_id))

    row = await conversations.row(archive.sessions, request_id)
    assert (row.state, row.image, row.image_url, row.width) == (State.QUEUED, None, None, None)


async def test_what_is_not_failed_is_not_tried_again(
    archive: AgedData, requests: RequestsCommand
) -> None:
    request_id = await archive.row(State.DELIVERED, conversation=SAID)

    ended = await requests("retry", str(request_id))

    assert ended.code == 1
    assert ended.said == (
        f"{request_id}: no, it is delivered, and only a failed request can be tried again\n"
    )
    assert (await conversations.row(archive.sessions, request_id)).state == State.DELIVERED


async def test_what_has_been_erased_is_not_tried_again(
    archive: AgedData, requests: RequestsCommand
) -> None:
    request_id = await failed(archive, conversation=None)

    ended = await requests("retry", str(request_id))

    assert ended.code == 1
    assert "what people wrote was erased (CONTEXT_RETENTION)" in ended.said
    assert (await conversations.row(archive.sessions, request_id)).state == State.FAILED


async def test_beside_another_picture_of_its_dialog_it_is_not_tried_again(
    archive: AgedData, requests: RequestsCommand
) -> None:
    request_id = await failed(archive)
    other = await archive.row(State.DRAWING)

    ended = await requests("retry", str(request_id))

    assert (ended.code, ended.said) == (
        1,
        f"{request_id}: no, another picture of its dialog is under way: {other}\n",
    )


async def test_without_its_dialog_it_is_not_tried_again(
    archive: AgedData, requests: RequestsCommand
) -> None:
    request_id = await failed(archive)
    async with archive.sessions.begin() as session:
        await session.execute(delete(Dialog))

    ended = await requests("retry", str(request_id))

    assert (ended.code, ended.said) == (1, f"{request_id}: no, its dialog 1 is gone\n")


async def test_all_that_failed_since_then_is_tried_again_one_of_each_dialog(
    archive: AgedData, requests: RequestsCommand, redis_url: str
) -> None:
    await conversations.put_dialog(archive.sessions, 2)
    old = await archive.row(State.FAILED, days=3, conversation=SAID)
    older = await archive.row(State.FAILED, days=0.6, conversation=SAID)
    newer = await failed(archive)
    elsewhere = await failed(archive, dialog_id=2)

    ended = await requests("retry", "--all-failed", "--since", "1d", "--json")

    output = {one["request"]: one["state"] for one in ended.told}
    assert ended.code == 1
    assert output == {str(newer): "queued", str(elsewhere): "queued", str(older): None}
    assert sorted(await queued_in(redis_url)) == sorted([str(newer), str(elsewhere)])
    assert (await conversations.row(archive.sessions, old)).state == State.FAILED


async def test_with_redis_away_the_relay_rings(
    archive: AgedData, requests: RequestsCommand, redis_url: str
) -> None:
    request_id = await failed(archive)

    ended = await requests("retry", str(request_id), REDIS_URL="redis://127.0.0.1:1")

    assert ended.code == 0
    assert ended.said.splitlines() == [
        f"{request_id}: queued",
        "Redis is away: the worker finds them by itself when it is back",
    ]
    assert ended.complained.startswith("imagegen: redis://127.0.0.1:1 refuses the connection")
    assert await queued_in(redis_url) == []
    row = await conversations.row(archive.sessions, request_id)
    assert (row.state, row.claim) == (State.QUEUED, None)


async def test_an_open_request_is_called_off(archive: AgedData, requests: RequestsCommand) -> None:
    prompt_id = UUID(int=7)
    request_id = await archive.row(
        State.DRAWING, conversation=SAID, host="gpu-1:8188", prompt_id=prompt_id
    )

    ended = await requests("cancel", str(request_id)[:8])
    again = await requests("cancel", str(request_id))

    assert (ended.code, ended.said) == (0, f"{request_id}: cancelled\n")
    assert (again.code, again.said) == (1, f"{request_id}: no, it has ended already\n")
    row = await conversations.row(archive.sessions, request_id)
    assert (row.state, row.conversation, row.error_code) == (State.CANCELLED, None, "cancelled")
    assert row.finished_at is not None
    async with archive.sessions() as session:
        assert (await session.execute(select(StrayPrompt.prompt_id))).scalars().all() == [prompt_id]


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("show", "ab"), ("retry", "ab"), ("cancel", "ab", "--json")],
    ids=lambda arguments: arguments[0],
)
async def test_a_database_that_is_away_is_a_sentence(
    requests: RequestsCommand, arguments: tuple[str, ...], unused_tcp_port: int
) -> None:
    away = f"postgresql://u:geheim@127.0.0.1:{unused_tcp_port}/d"

    ended = await requests(*arguments, DATABASE_URL=away)

    assert (ended.code, ended.said) == (2, "")
    place = f"postgresql://127.0.0.1:{unused_tcp_port}/d"
    assert ended.complained.startswith(f"imagegen: {place}: ")
    assert ended.complained.count("\n") == 1
    assert "ConnectionRefusedError" in ended.complained


async def test_a_database_without_our_tables_is_a_sentence(
    requests: RequestsCommand, empty_database_url: str
) -> None:
    ended = await requests("list", DATABASE_URL=empty_database_url)

    assert (ended.code, ended.said) == (2, "")
    assert ended.complained.startswith("imagegen: postgresql://127.0.0.1:")
    assert "tables or columns are missing: run `imagegen migrate`" in ended.complained


@pytest.mark.parametrize(
    "arguments",
    [
        ("retry",),
        ("retry", "ab", "--all-failed", "--since", "1d"),
        ("retry", "--all-failed"),
        ("retry", "ab", "--since", "1d"),
        ("list", "--since", "вчера"),
        ("list", "--since", "9999999d"),
        ("list", "--dialog", "лина"),
        ("list", "--state", "lost"),
        ("cancel",),
    ],
)
def test_a_wrong_use_is_explained(arguments: tuple[str, ...]) -> None:
    ended = CliRunner().invoke(main, ["requests", *arguments])

    assert ended.exit_code == 2
    assert "Error: " in ended.output


async def test_requests_that_only_a_newer_version_knows_are_listed(
    requests: RequestsCommand, archive: AgedData
) -> None:
    await newer_version.row(archive.sessions, state=newer_version.OPEN_STATE)
    await newer_version.row(archive.sessions, kind=newer_version.KIND)

    listed, counted = await requests("list"), await requests("list", "--json")

    assert listed.said.endswith("\n1 queued, 1 upscaling\n")
    assert json.loads(counted.said)["counts"]["upscaling"] == 1
