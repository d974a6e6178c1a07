"""The revisions of our schema that this version of the code knows.

Apart from migrations.py: a worker asks for them, and alembic, which runs them, takes long to import.
"""

from imagegen import resources

# The bot's own migrations keep their version in `alembic_version`, perhaps in the same schema.
VERSION_TABLE = "imagegen_alembic_version"


def revisions() -> list[str]:
    """Return all revisions, the newest first. Reads a directory, where each file begins with its own."""
    files = (resources.path("alembic") / "versions").glob("[0-9]*_*.py")
    return sorted((file.name.partition("_")[0] for file in files), reverse=True)
