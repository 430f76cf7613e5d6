"""mypy and pyright find the package from a user's folder, and know its types."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

FILTER = '''
import moebridge as mb


class ApiKey(mb.HttpFilter):
    """Let only known keys through."""

    class Config(mb.Config):
        keys: dict[str, str]
        header: str = "x-api-key"

    config: Config

    def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
        user = self.config.keys.get(stream.request.headers.get(self.config.header, ""))
        if user is None:
            return stream.respond(401, body=b"unknown key\\n")
        stream.request.headers["x-user"] = user
        return None

    async def on_response_headers(self, stream: mb.Stream) -> mb.Status | None:
        stream.response.headers["x-method"] = stream.request.method
        return None

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> mb.Status | None:
        if data.find(b"x") >= 0:
            return stream.respond(400)
        return None


proxy = mb.Proxy(
    listen="127.0.0.1:8080",
    upstream="127.0.0.1:9000",
    filters=[ApiKey(keys={"s3cret": "ann"}), mb.NativeFilter("body_scan", config={"pattern": "x"})],
)

if __name__ == "__main__":
    proxy.run()
'''
# Each is wrong in one way that only shows when the package's types are known.
MISTAKES = {
    "hook_returns_text": FILTER.replace("return stream.respond(400)", 'return "stop"'),
    "header_is_a_number": FILTER.replace('["x-user"] = user', '["x-user"] = 1'),
    "no_such_attribute": FILTER.replace("stream.request.method", "stream.request.verb"),
}
_FAULT = re.compile(r"my_filters\.py:(\d+):(?:\d+ -)? error:")
CHECKERS = {
    "mypy": ["mypy", "--strict", "--no-incremental"],
    "pyright": ["pyright", "--pythonpath", sys.executable],
}


def check(checker: str, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "my_filters.py"
    file.write_text(f"# pyright: strict\n{text}", encoding="utf-8")
    command = [sys.executable, "-m", *CHECKERS[checker], file.name]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("checker", CHECKERS)
def test_users_filter_is_accepted_from_an_empty_folder(checker: str, tmp_path: Path) -> None:
    done = check(checker, FILTER, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("checker", CHECKERS)
def test_users_mistake_is_found(checker: str, mistake: str, tmp_path: Path) -> None:
    assert MISTAKES[mistake] != FILTER
    done = check(checker, MISTAKES[mistake], tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    good, bad = FILTER.splitlines(), MISTAKES[mistake].splitlines()
    changed = {n for n, pair in enumerate(zip(good, bad, strict=True), 2) if pair[0] != pair[1]}
    assert {int(line) for line in _FAULT.findall(done.stdout)} == changed, done.stdout
