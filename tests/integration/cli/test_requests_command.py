"""`imagegen requests`: listing, showing, retrying and cancelling requests."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
from click.testing import CliRunner
from redis.asyncio import Redis
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import Dialog, ImageRequest, State
from imagegen.cli.app import main
from imagegen.db.tables import Delivery, StrayPrompt
from tests.support import command, conversations, newer_version
from tests.support.aged_rows import SAID, AgedData
from tests.support.command import CommandResult
from tests.support.conversations import Sessions


@pytest.fixture
async def aged_data(engine: AsyncEngine, sessions: Sessions, tmp_path: Path) -> AgedData:
    await conversations.put_dialog(sessions)
    return AgedData(engine, tmp_path / "снимки")


class RequestsCommand:
    """Runs `imagegen requests` with the settings of this test."""

    def __init__(self, **variables: str) -> None:
        self.variables = variables

    async def __call__(self, *arguments: str, **changes: str) -> CommandResult:
        return await command.run("requests", *arguments, **self.variables | changes)


@pytest.fixture
def requests(aged_data: AgedData, database_url: str, redis_url: str) -> RequestsCommand:
    return RequestsCommand(
        DATABASE_URL=database_url, REDIS_URL=redis_url, IMAGE_STORE=aged_data.store.as_uri()
    )


async def queued_in(redis_url: str) -> list[str]:
    async with Redis.from_url(redis_url, db=3, decode_responses=True) as redis:
        return [str(job) for job in await redis.zrange("arq:queue", 0, -1)]


async def failed(aged_data: AgedData, **values: Any) -> UUID:
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
    return await aged_data.row(State.FAILED, days=0.5, **(usual | values))


async def test_the_list_is_newest_first_and_counted_by_state(
    aged_data: AgedData, requests: RequestsCommand
) -> None:
    old = await aged_data.row(State.DELIVERED, days=3)
    failure = await failed(aged_data)
    newest = await aged_data.row(State.QUEUED, persona="юля", dialog_id=5)

    text = await requests("list")
    output = (await requests("list", "--json")).json

    lines = text.stdout.splitlines()
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
    aged_data: AgedData, requests: RequestsCommand, arguments: tuple[str, ...], expected: set[str]
) -> None:
    ids = {
        str(await aged_data.row(State.DELIVERED, days=3)): "d",
        str(await failed(aged_data)): "f",
        str(await aged_data.row(State.QUEUED, persona="юля", dialog_id=5)): "q",
    }

    output = (await requests("list", "--json", *arguments)).json

    assert {ids[request["id"]] for request in output["requests"]} == expected


async def test_a_list_that_is_cut_says_so_and_an_empty_one_too(
    aged_data: AgedData, requests: RequestsCommand
) -> None:
    empty = await requests("list")
    await aged_data.row(State.DELIVERED)
    await aged_data.row(State.DELIVERED)

    cut = await requests("list", "--limit", "1")

    assert empty.stdout == "no such request\n"
    assert cut.stdout.splitlines()[-1] == "2 delivered; the newest 1 are shown"


async def test_a_sheet_shows_everything_but_what_people_wrote(
    aged_data: AgedData, requests: RequestsCommand
) -> None:
    request_id = await failed(
        aged_data, caption="Это тебе", scene={"place": "пляж"}, conversation={"text": "секрет"}
    )
    prompt_id = uuid5(request_id, "2")
    async with aged_data.sessions.begin() as session:
        await session.execute(
            insert(Delivery).values(request_id=request_id, attempt=1, outcome="unknown")
        )
        await session.execute(insert(StrayPrompt).values(prompt_id=prompt_id, host="gpu-1:8188"))

    text = await requests("show", str(request_id)[:6])
    page = await requests("show", str(request_id).upper(), "--json")

    assert (text.code, page.code) == (0, 0)
    output = page.json
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
    assert "KSampler raised RuntimeError" in text.stdout
    assert "UTC (12 h ago)" in text.stdout
    for word in ("секрет", "пляж", "Это тебе", "\\u0441"):
        assert word not in text.stdout + page.stdout


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
    aged_data: AgedData, requests: RequestsCommand, beginning: str, sentence: str
) -> None:
    for number in (1, 2):
        await aged_data.row(State.DELIVERED, id=UUID(int=0xAB << 120 | number))

    ended = await requests("show", beginning)

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(sentence)
    assert ended.stderr.count("\n") == 1


async def test_a_failed_request_is_tried_again_like_a_new_one(
    aged_data: AgedData, requests: RequestsCommand, redis_url: str
) -> None:
    request_id = await failed(aged_data)
    before = await conversations.row(aged_data.sessions, request_id)

    ended = await requests("retry", str(request_id)[:8])

    assert (ended.code, ended.stdout) == (0, f"{request_id}: queued\n")
    row = await conversations.row(aged_data.sessions, request_id)
    assert (row.state, row.attempts, row.crashes, row.claim) == (State.QUEUED, 0, 0, None)
    assert (row.error_code, row.error_sentence, row.finished_at) == (None, None, None)
    assert (row.prompt_id, row.draw, row.conversation) == (None, 3, SAID)
    assert row.queued_at > before.queued_at
    assert await queued_in(redis_url) == [str(request_id)]


async def test_a_picture_that_is_still_there_is_not_drawn_again(
    aged_data: AgedData, requests: RequestsCommand
) -> None:
    name = await aged_data.picture()
    request_id = await failed(aged_data, image=name, width=8, height=8)

    ended = await requests("retry", str(request_id), "--json")

    assert ended.json == [
        {"request": str(request_id), "state": "drawn", "why": None, "is_rung": True}
    ]
    assert (await conversations.row(aged_data.sessions, request_id)).image == name


async def test_a_picture_that_is_gone_is_drawn_again(
    aged_data: AgedData, requests: RequestsCommand
) -> None:
    request_id = await failed(aged_data, image="ab.png", image_url="x", width=8, height=8)

    await requests("retry", str(request_id))

    row = await conversations.row(aged_data.sessions, request_id)
    assert (row.state, row.image, row.image_url, row.width) == (State.QUEUED, None, None, None)


async def test_what_is_not_failed_is_not_tried_again(
    aged_data: AgedData, requests: RequestsCommand
) -> None:
    request_id = await aged_data.row(State.DELIVERED, conversation=SAID)

    ended = await requests("retry", str(request_id))

    assert ended.code == 1
    assert ended.stdout == (
        f"{request_id}: no, it is delivered, and only a failed request can be tried again\n"
    )
    assert (await conversations.row(aged_data.sessions, request_id)).state == State.DELIVERED


async def test_what_has_been_erased_is_not_tried_again(
    aged_data: AgedData, requests: RequestsCommand
) -> None:
    request_id = await failed(aged_data, conversation=None)

    ended = await requests("retry", str(request_id))

    assert ended.code == 1
    assert "what people wrote was erased (CONTEXT_RETENTION)" in ended.stdout
    assert (await conversations.row(aged_data.sessions, request_id)).state == State.FAILED


async def test_beside_another_picture_of_its_dialog_it_is_not_tried_again(
    aged_data: AgedData, requests: RequestsCommand
) -> None:
    request_id = await failed(aged_data)
    other = await aged_data.row(State.DRAWING)

    ended = await requests("retry", str(request_id))

    assert (ended.code, ended.stdout) == (
        1,
        f"{request_id}: no, another picture of its dialog is under way: {other}\n",
    )


async def test_without_its_dialog_it_is_not_tried_again(
    aged_data: AgedData, requests: RequestsCommand
) -> None:
    request_id = await failed(aged_data)
    async with aged_data.sessions.begin() as session:
        await session.execute(delete(Dialog))

    ended = await requests("retry", str(request_id))

    assert (ended.code, ended.stdout) == (1, f"{request_id}: no, its dialog 1 is gone\n")


async def test_all_that_failed_since_then_is_tried_again_one_of_each_dialog(
    aged_data: AgedData, requests: RequestsCommand, redis_url: str
) -> None:
    await conversations.put_dialog(aged_data.sessions, 2)
    old = await aged_data.row(State.FAILED, days=3, conversation=SAID)
    older = await aged_data.row(State.FAILED, days=0.6, conversation=SAID)
    newer = await failed(aged_data)
    elsewhere = await failed(aged_data, dialog_id=2)

    ended = await requests("retry", "--all-failed", "--since", "1d", "--json")

    output = {one["request"]: one["state"] for one in ended.json}
    assert ended.code == 1
    assert output == {str(newer): "queued", str(elsewhere): "queued", str(older): None}
    assert sorted(await queued_in(redis_url)) == sorted([str(newer), str(elsewhere)])
    assert (await conversations.row(aged_data.sessions, old)).state == State.FAILED


async def test_with_redis_away_the_relay_rings(
    aged_data: AgedData, requests: RequestsCommand, redis_url: str
) -> None:
    request_id = await failed(aged_data)

    ended = await requests("retry", str(request_id), REDIS_URL="redis://127.0.0.1:1")

    assert ended.code == 0
    assert ended.stdout.splitlines() == [
        f"{request_id}: queued",
        "Redis is away: the worker finds them by itself when it is back",
    ]
    assert ended.stderr.startswith("imagegen: redis://127.0.0.1:1 refuses the connection")
    assert await queued_in(redis_url) == []
    row = await conversations.row(aged_data.sessions, request_id)
    assert (row.state, row.claim) == (State.QUEUED, None)


async def test_an_open_request_is_called_off(
    aged_data: AgedData, requests: RequestsCommand
) -> None:
    prompt_id = UUID(int=7)
    request_id = await aged_data.row(
        State.DRAWING, conversation=SAID, host="gpu-1:8188", prompt_id=prompt_id
    )

    ended = await requests("cancel", str(request_id)[:8])
    again = await requests("cancel", str(request_id))

    assert (ended.code, ended.stdout) == (0, f"{request_id}: cancelled\n")
    assert (again.code, again.stdout) == (1, f"{request_id}: no, it has ended already\n")
    row = await conversations.row(aged_data.sessions, request_id)
    assert (row.state, row.conversation, row.error_code) == (State.CANCELLED, None, "cancelled")
    assert row.finished_at is not None
    async with aged_data.sessions() as session:
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

    assert (ended.code, ended.stdout) == (2, "")
    place = f"postgresql://127.0.0.1:{unused_tcp_port}/d"
    assert ended.stderr.startswith(f"imagegen: {place}: ")
    assert ended.stderr.count("\n") == 1
    assert "ConnectionRefusedError" in ended.stderr


async def test_a_database_without_our_tables_is_a_sentence(
    requests: RequestsCommand, empty_database_url: str
) -> None:
    ended = await requests("list", DATABASE_URL=empty_database_url)

    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("imagegen: postgresql://127.0.0.1:")
    assert "tables or columns are missing: run `imagegen migrate`" in ended.stderr


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
    requests: RequestsCommand, aged_data: AgedData
) -> None:
    await newer_version.row(aged_data.sessions, state=newer_version.OPEN_STATE)
    await newer_version.row(aged_data.sessions, kind=newer_version.KIND)

    listed, counted = await requests("list"), await requests("list", "--json")

    assert listed.stdout.endswith("\n1 queued, 1 upscaling\n")
    assert json.loads(counted.stdout)["counts"]["upscaling"] == 1


async def test_reported_pictures_are_listed_apart_with_who_reported_them_and_without_a_caption(
    aged_data: AgedData, requests: RequestsCommand
) -> None:
    reported = await aged_data.row(
        State.DELIVERED,
        reported_at=datetime(2026, 1, 1, tzinfo=UTC),
        reported_by=9,
        persona_caption="Это тебе",
    )
    await aged_data.row(State.DELIVERED)

    output = (await requests("list", "--reported", "--json")).json

    assert [row["id"] for row in output["requests"]] == [str(reported)]
    assert output["requests"][0]["reported_by"] == 9
    assert "persona_caption" not in output["requests"][0]


async def test_a_request_is_followed_to_its_end(
    aged_data: AgedData, requests: RequestsCommand
) -> None:
    request_id = await aged_data.row(State.DRAWING, host="gpu-1:8188")

    following = asyncio.create_task(requests("follow", str(request_id)[:8]), name="follow")
    await asyncio.sleep(0)
    failed_row = await failed(aged_data)
    ended = await requests("follow", str(failed_row), "--json")
    async with aged_data.sessions.begin() as session:
        await session.execute(
            update(ImageRequest)
            .where(ImageRequest.id == request_id)
            .values(state=State.DELIVERED, finished_at=func.now())
        )
    delivered = await following

    assert ended.code == 1
    assert (ended.json["state"], ended.json["error_code"]) == ("failed", "drawing_failed")
    assert delivered.code == 0
    assert delivered.stdout.splitlines()[-1].endswith("UTC  delivered  gpu-1:8188")


async def test_a_request_that_is_not_there_cannot_be_followed(requests: RequestsCommand) -> None:
    result = await requests("follow", "1f0c9a")

    assert (result.code, result.stderr) == (1, "imagegen: there is no request 1f0c9a\n")
