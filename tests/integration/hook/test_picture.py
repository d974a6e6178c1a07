"""What `wait` returns of a picture in each state of its request."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import ChatFlowHook, Picture, Request
from chatflow_hook.messages import WITHOUT_PICTURE
from chatflow_hook.tables import State
from imagegen.errors import ImagegenError, Rejected
from imagegen.pipeline.make_image import final_state
from imagegen.requests.repository import RequestRepository
from imagegen.safety.refusal import Refused
from tests.support import conversations, documented_codes, request_steps
from tests.support.aged_rows import AgedData
from tests.support.patience import PATIENCE_S

ANN, GROUP = 1001, -1001234567890
# What operators are told and people are not.
MACHINES = "gpu-1:8188: node 3 (KSampler) lacks /models/lina.safetensors"
URL = "https://pictures.example/aa/aa.png"


@pytest.fixture
async def hook(database_url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    async with ChatFlowHook(
        conversations.hook_settings(database_url, redis_url), turn_timeout_s=PATIENCE_S
    ) as hook:
        yield hook


@pytest.mark.parametrize("state", State)
async def test_the_address_of_a_picture_is_told_once_it_is_delivered(
    hook: ChatFlowHook, engine: AsyncEngine, tmp_path: Path, state: State
) -> None:
    aged_data = AgedData(engine, tmp_path / "images")

    url = await _url(hook, aged_data, state, drawn_rating="safe")

    assert url == (URL if state is State.DELIVERED else None)


@pytest.mark.parametrize(
    ("rating", "chat_id", "is_confirmed", "is_told"),
    [
        ("safe", ANN, False, True),
        ("safe", GROUP, False, True),
        ("safe", None, False, True),
        ("suggestive", ANN, True, True),
        ("suggestive", ANN, False, False),
        ("suggestive", GROUP, True, False),
        ("suggestive", None, True, False),
        ("explicit", ANN, True, True),
        ("explicit", ANN, False, False),
        ("a newer rating", ANN, False, False),
        (None, ANN, False, False),
    ],
)
async def test_the_address_of_a_picture_above_safe_is_told_while_the_age_is_confirmed(
    hook: ChatFlowHook,
    engine: AsyncEngine,
    tmp_path: Path,
    rating: str | None,
    chat_id: int | None,
    *,
    is_confirmed: bool,
    is_told: bool,
) -> None:
    aged_data = AgedData(engine, tmp_path / "images")
    await hook.confirm_age(ANN)
    if not is_confirmed:
        await hook.revoke_age(ANN)

    url = await _url(hook, aged_data, State.DELIVERED, drawn_rating=rating, chat_id=chat_id)

    assert url == (URL if is_told else None)


async def test_a_confirmation_of_another_text_gives_no_address(
    hook: ChatFlowHook, engine: AsyncEngine, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    aged_data = AgedData(engine, tmp_path / "images")
    settings = conversations.hook_settings(database_url, redis_url, age_text_version="0")
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook_of_before:
        await hook_of_before.confirm_age(ANN)

    assert await _url(hook, aged_data, State.DELIVERED, drawn_rating="suggestive") is None


async def _url(hook: ChatFlowHook, aged_data: AgedData, state: State, **values: Any) -> str | None:
    request_id = await aged_data.row(state, image="aa.png", image_url=URL, **values)
    request = Request(id=request_id, dialog_id=1, message_count=3)
    return (await hook.wait(request, timeout=0)).url


async def ended(
    hook: ChatFlowHook, engine: AsyncEngine, rows: AgedData, error: ImagegenError, language: str
) -> Picture:
    """End a request as a worker does after this error, and return what the bot is told."""
    requests = RequestRepository(engine)
    request_id = await rows.row(State.QUEUED, language=language)
    claimed = await request_steps.claimed(requests, request_id)
    await requests.end_without_picture(claimed, final_state(error), error)
    return await hook.status(request_id)


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_each_error_has_a_sentence_for_people_and_one_for_operators(
    hook: ChatFlowHook, engine: AsyncEngine, tmp_path: Path, language: str
) -> None:
    rows = AgedData(engine, tmp_path / "images")
    refusals = [Refused(code, language=language) for code in documented_codes.of("Refused")]
    others = [
        ImagegenError(MACHINES, code=code)
        for section in ("Tried again", "Not tried again")
        for code in documented_codes.of(section)
    ]
    assert refusals
    assert others

    for error in [*refusals, *others, Rejected(MACHINES), *raised_errors()]:
        picture = await ended(hook, engine, rows, error, language)

        assert picture.state in WITHOUT_PICTURE
        assert picture.error_code == error.code
        assert picture.message
        assert is_russian(picture.message) == (language == "ru")
        for word in ("gpu", "8188", "node", "KSampler", "safetensors", error.code):
            assert word not in picture.message
        assert picture.detail == error.sentence or (
            isinstance(error, Refused) and error.code in (picture.detail or "")
        )


@pytest.mark.parametrize("state", sorted(WITHOUT_PICTURE))
async def test_each_end_has_both_sentences_also_where_no_reason_was_written_down(
    hook: ChatFlowHook, engine: AsyncEngine, tmp_path: Path, state: State
) -> None:
    request_id = await AgedData(engine, tmp_path / "images").row(
        state, error_code="from_the_future"
    )

    picture = await hook.status(request_id)

    assert picture.message
    assert picture.detail


@pytest.mark.parametrize("state", sorted(set(State) - WITHOUT_PICTURE))
async def test_an_open_or_delivered_request_has_no_such_sentence(
    hook: ChatFlowHook, engine: AsyncEngine, tmp_path: Path, state: State
) -> None:
    scene = {"source": "template", "summary": "Lina: a park"}
    picture = await hook.status(await AgedData(engine, tmp_path / "images").row(state, scene=scene))

    assert (picture.message, picture.detail) == (None, None)
    assert picture.summary == ("Lina: a park" if state is State.DELIVERED else None)


def raised_errors() -> list[ImagegenError]:
    """Return one of each class of error that ends a request and takes nothing but a sentence."""
    return [
        kind(MACHINES) for kind in _subclasses(Rejected) if kind.__init__ is ImagegenError.__init__
    ]


def _subclasses(kind: type[ImagegenError]) -> list[type[ImagegenError]]:
    return [each for sub in kind.__subclasses__() for each in (sub, *_subclasses(sub))]


def is_russian(sentence: str) -> bool:
    return any("а" <= letter <= "я" for letter in sentence.lower())
