"""Lets only requests with a known user and password through.

The Python twin of the built-in `basic_auth`: the same configuration, the same answers.
Source: RFC 7617; Envoy's BasicAuth.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from pathlib import Path

import moebridge as mb

__all__ = ["BasicAuth"]

MAX_TOKEN_CHARS = 4096
MAX_PART_CHARS = 256
MAX_REALM_CHARS = 1023
NOBODY = bytes(20)


class DataSource(mb.Config):
    """Envoy's DataSource: exactly one of these."""

    inline_string: str | None = None
    #: base64.
    inline_bytes: str | None = None
    filename: str | None = None
    environment_variable: str | None = None

    def __post_init__(self) -> None:
        """Checks that there is one."""
        given = (self.inline_string, self.inline_bytes, self.filename, self.environment_variable)
        if sum(value is not None for value in given) != 1:
            raise ValueError(
                "exactly one of inline_string, inline_bytes, filename and environment_variable "
                "must be given"
            )

    def read(self) -> bytes:
        """Returns the bytes, or raises ValueError."""
        try:
            if self.inline_string is not None:
                return self.inline_string.encode()
            if self.inline_bytes is not None:
                return base64.b64decode(self.inline_bytes, validate=True)
            if self.filename is not None:
                return Path(self.filename).read_bytes()
        except OSError as error:
            raise ValueError(f"{self.filename} cannot be read: {error.strerror}") from None
        except binascii.Error as error:
            raise ValueError(f"inline_bytes: no base64: {error}") from None
        value = os.environb.get(os.fsencode(self.environment_variable or ""))
        if value is None:
            raise ValueError(f"{self.environment_variable} is not set in the environment")
        return value


class BasicAuth(mb.HttpFilter):
    """Let only requests with a known user and password through.

    Refusals are 401 with Envoy's texts and details. A password is hashed and compared in constant
    time, also when the user is unknown.
    """

    class Config(mb.Config):
        """Configuration: Envoy's message."""

        #: Lines of htpasswd, `name:{SHA}base64 of the SHA-1`.
        users: DataSource
        #: Request header that gets the user's name; "" = none.
        forward_username_header: str = ""
        authentication_header: str = "authorization"

    config: Config

    def __init__(self, /, **config: object) -> None:
        super().__init__(**config)
        try:
            self._users = read_htpasswd(self.config.users.read())
        except ValueError as error:
            raise mb.ConfigError([("users", str(error))]) from None
        self._header = self.config.authentication_header or "authorization"

    def on_load(self) -> None:
        """Defines the counters."""
        self._allowed = self.counter("allowed")
        self._denied = self.counter("denied")

    def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
        """Checks the credentials."""
        fields = stream.request.headers.raw
        value = fields.get(self._header)
        if value is None:
            return self._refuse(
                stream, "Missing username and password.", "no_credential_for_basic_auth"
            )
        if not value.startswith(b"Basic "):
            return self._refuse(
                stream, "Expected 'Basic' authentication scheme.", "invalid_scheme_for_basic_auth"
            )
        if len(fields.getall(self._header)) > 1:
            value = b""  # which of two counts is not for us to guess
        user, colon, password = decode(value[6:]).partition(b":")
        if not colon:
            return self._refuse(
                stream, "Invalid basic credential format.", "invalid_format_for_basic_auth"
            )
        wanted = self._users.get(user)
        digest = hashlib.sha1(password, usedforsecurity=False).digest()
        right = hmac.compare_digest(digest, NOBODY if wanted is None else wanted)
        if not right or wanted is None or not self._forward(stream, user):
            return self._refuse(
                stream,
                "Invalid username/password combination.",
                "invalid_credential_for_basic_auth",
            )
        self._allowed.inc()
        return None

    def _forward(self, stream: mb.Stream, user: bytes) -> bool:
        if self.config.forward_username_header:
            try:
                stream.request.headers.raw[self.config.forward_username_header] = user
            except ValueError:
                return False  # a name that no header can have
        return True

    def _refuse(self, stream: mb.Stream, text: str, details: str) -> mb.Status:
        self._denied.inc()
        return stream.respond(
            401,
            headers={"www-authenticate": realm(stream.request)},
            body=b"User authentication failed. " + text.encode(),
            details=details,
        )


def read_htpasswd(text: bytes) -> dict[bytes, bytes]:
    """Lines of htpasswd as name -> SHA-1; raises ValueError, without the secrets."""
    users: dict[bytes, bytes] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        name, _, secret = line.partition(b":")
        digest = decode(secret.removeprefix(b"{SHA}"))
        if not name or not secret.startswith(b"{SHA}") or len(digest) != len(NOBODY):
            raise ValueError(f"line {number}: expected name:{{SHA}}base64 of a SHA-1")
        if name in users:
            raise ValueError(f"line {number}: duplicate user {name.decode('utf-8', 'replace')!r}")
        users[name] = digest
    if not users:
        raise ValueError("has no user")
    return users


def decode(token: bytes) -> bytes:
    """Strict base64, with or without padding; empty when it is none."""
    token = token.rstrip(b"=")
    padded = token + b"=" * (-len(token) % 4)
    if len(padded) > MAX_TOKEN_CHARS:
        return b""
    try:
        found = binascii.a2b_base64(padded, strict_mode=True)
    except binascii.Error:
        return b""
    return found if binascii.b2a_base64(found, newline=False) == padded else b""


def realm(request: mb.Request) -> str:
    """The URI that was asked for, as a quoted string. RFC 9110 5.6.4."""
    path = request.headers.get("x-envoy-original-path", request.path)
    parts = (request.authority[:MAX_PART_CHARS], path[:MAX_PART_CHARS])
    uri = "".join(part.replace("\\", "\\\\").replace('"', '\\"') for part in parts)
    return f'Basic realm="{request.scheme}://{uri}'[:MAX_REALM_CHARS] + '"'
