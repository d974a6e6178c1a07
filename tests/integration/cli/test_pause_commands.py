"""`imagegen pause`, `resume` and `pauses`."""

from tests.support import command


async def test_what_is_paused_is_listed_until_it_is_resumed(database_url: str) -> None:
    env = {"DATABASE_URL": database_url}

    paused = await command.run("pause", "--persona", "Lina", "--kind", "cover", **env)
    again = await command.run("pause", "--persona", "lina", **env)
    listed = await command.run("pauses", "--json", **env)
    resumed = await command.run("resume", "--persona", "lina", "--kind", "cover", **env)
    empty = await command.run("pauses", **env)

    assert paused.stdout == "persona Lina: paused\nkind cover: paused\n"
    assert again.stdout == "persona lina: was paused already\n"
    assert [(each["scope"], each["name"]) for each in listed.json] == [
        ("persona", "lina"),
        ("kind", "cover"),
    ]
    assert resumed.stdout == "persona lina: resumed\nkind cover: resumed\n"
    assert empty.stdout == "nothing is paused\n"


async def test_a_persona_that_does_not_exist_is_refused(database_url: str) -> None:
    env = {"DATABASE_URL": database_url}

    nobody = await command.run("pause", "--persona", "lina", "--persona", "nobody", **env)
    listed = await command.run("pauses", **env)

    assert nobody.code == 2
    assert nobody.stderr.startswith("imagegen: there is no persona nobody: PERSONAS_DIR and ")
    assert listed.stdout == "nothing is paused\n"


async def test_nothing_named_and_a_database_that_is_away_are_told(database_url: str) -> None:
    nothing = await command.run("pause", DATABASE_URL=database_url)
    empty = await command.run("pause", "--persona", " ", DATABASE_URL=database_url)
    away = await command.run("pauses", DATABASE_URL="postgresql://a:b@127.0.0.1:1/c")

    assert (nothing.code, empty.code, away.code) == (2, 2, 2)
    assert "Give --persona, --kind or both." in nothing.stderr
    assert empty.stderr == "imagegen: a name is needed\n"
    assert "127.0.0.1:1" in away.stderr
