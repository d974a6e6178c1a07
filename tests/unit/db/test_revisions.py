"""Which revisions a worker knows without alembic."""

from alembic.script import ScriptDirectory

from imagegen import resources
from imagegen.db.revisions import revisions


def test_the_revisions_are_those_of_alembic() -> None:
    scripts = ScriptDirectory(str(resources.path("alembic")))

    assert revisions() == [script.revision for script in scripts.walk_revisions()]
