"""What a worker imports at its start: only what every worker needs."""

import subprocess
import sys


def test_a_worker_loads_no_bot_no_language_model_and_no_migrations() -> None:
    program = (
        "import sys, imagegen.worker;"
        "found = {'aiogram', 'httpx', 'alembic', 'dns'} & set(sys.modules);"
        "sys.exit(f'loaded: {found}' if found else 0)"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
