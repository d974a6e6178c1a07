"""`imagegen lift`, and what `imagegen requests show` says of what was learnt."""

from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import ChatFlowHook, Request
from imagegen.pipeline.turn_reader import TurnReader
from imagegen.safety.screen import shared_screen
from tests.support import command, conversations
from tests.support.conversations import turn
from tests.support.patience import PATIENCE_S

ANN = 1001


async def test_what_was_learnt_is_shown_without_a_word_and_lifted(
    database_url: str, redis_url: str, engine: AsyncEngine
) -> None:
    variables = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    settings = conversations.hook_settings(database_url, redis_url)
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook:
        asked_before = await hook.claim_age_question(ANN)
        await hook.on_turn(turn(text="I'm 15, and so are you: you are 15"))
        request = await hook.ask(turn())
        assert isinstance(request, Request)
        await TurnReader(engine, shared_screen()).step()

        asked_meanwhile = await hook.claim_age_question(ANN)
        shown = await command.run("requests", "show", str(request.id), "--json", **variables)
        lifted = await command.run("lift", "--user", str(ANN), "--dialog", "1", **variables)
        again = await command.run("lift", "--user", str(ANN), **variables)
        asked_again = await hook.claim_age_question(ANN)
        may_confirm = await hook.confirm_age(ANN)

    learnt = {one["subject"]: one for one in shown.json["learnt"]}
    assert set(learnt) == {"user", "persona"}
    assert (learnt["user"]["rule"], learnt["user"]["message_count"]) == ("minor_mentioned", 1)
    assert learnt["persona"]["until"] is None
    assert "key" not in learnt["user"]
    assert (lifted.code, lifted.stdout) == (0, f"dialog 1: lifted\nuser {ANN}: lifted\n")
    assert again.stdout == f"user {ANN}: nothing was learnt\n"
    assert may_confirm
    assert (asked_before, asked_meanwhile, asked_again) == (True, False, True)


async def test_lift_needs_a_user_or_a_dialog(database_url: str) -> None:
    ended = await command.run("lift", DATABASE_URL=database_url)

    assert ended.code == 2
    assert "--user" in ended.stderr
