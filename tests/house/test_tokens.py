"""The token table is what its generator makes."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_token_table_is_what_the_generator_makes() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "gen_tokens.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
