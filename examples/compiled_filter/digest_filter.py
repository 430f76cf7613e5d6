"""A filter that is one file for the interpreter and for Cython.

python setup.py build_ext --inplace      (in this folder; leave it out and the same runs, slower)
moebridge run --listen 127.0.0.1:8080 --upstream 127.0.0.1:9000 --filter digest_filter:Digest

Requests get a digest of their body, responses say how it was computed. The loop over the bytes is
what compiling is for; digest_filter.pxd gives it and the streams their types.
"""

from __future__ import annotations

from collections.abc import Iterable

import moebridge as mb


def fnv1a(data: Iterable[int]) -> int:
    """Returns the 32-bit FNV-1a hash."""
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


class Digest(mb.HttpFilter):
    """Hashes the body of each request."""

    class Config(mb.Config):
        """What a configuration may say."""

        header: str = "x-body-digest"
        required: str = ""  # a header without which a request is refused

    config: Config

    def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
        """Refuses what lacks the required header."""
        required = self.config.required
        if required and stream.request.headers.get(required) is None:
            return stream.respond(400, body=b"no %s\n" % required.encode())
        return None

    def on_request(self, stream: mb.Stream) -> None:
        """Puts the digest into a header, once the body is whole."""
        value = fnv1a(memoryview(stream.request.body))
        stream.request.headers[self.config.header] = f"{value:08x}"

    async def on_response_headers(self, stream: mb.Stream) -> None:
        """Says which file it was: hooks of compiled filters may be async, too."""
        stream.response.headers["x-digest-from"] = __file__.rpartition(".")[2]
