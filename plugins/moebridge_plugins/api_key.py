"""Lets only requests with a known API key through, and says upstream whose it is.

Keys stand in the configuration or in a file, plain or as `sha256:` and the hexadecimal digest, so
that neither needs to hold a secret. They are compared by their digests: how long a comparison takes
says nothing of a key.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from urllib.parse import unquote_plus

import msgspec

import moebridge as mb

__all__ = ["ApiKey"]

SPACE = "moebridge.api_key"
_DIGEST = re.compile(r"sha256:([0-9a-fA-F]{64})\Z")


class Key(mb.Config):
    """What a key may do."""

    #: Who it belongs to; goes upstream in `tenant_header`.
    tenant: str
    #: Methods; empty = all.
    methods: list[str] = []
    #: Paths without query; `/v1/*` is a prefix; empty = all.
    paths: list[str] = []

    def allows(self, method: str, path: str) -> bool:
        """Whether a request may pass."""
        if self.methods and method not in self.methods:
            return False
        return not self.paths or any(
            path.startswith(item[:-1]) if item.endswith("*") else path == item
            for item in self.paths
        )


class KeyFile(mb.Config):
    """Content of `keys_file`."""

    keys: dict[str, str | Key]


class ApiKey(mb.HttpFilter):
    """Let only requests with a known API key through.

    Answers 401 without a key or with an unknown one, 403 where the key may not go, with a JSON
    body. The key is taken off before the request goes upstream; a tenant header that the client
    sent is never believed. The tenant is in the metadata `moebridge.api_key` under `tenant` too.
    """

    class Config(mb.Config):
        """Configuration."""

        #: Key (plain, or `sha256:...`) -> tenant, or a Key.
        keys: dict[str, str | Key] = {}
        #: A JSON file `{"keys": {...}}`; read when the configuration loads.
        keys_file: str = ""
        #: Where keys are looked for, in this order; "" and false = not there.
        header: str = "x-api-key"
        bearer: bool = False
        query: str = ""
        #: Request header for the upstream; "" = none.
        tenant_header: str = "x-tenant"
        #: Take the key off the request.
        strip: bool = True
        #: Decide the route again, for routes that match the tenant header.
        reroute: bool = False

    config: Config

    def __init__(self, /, **config: object) -> None:
        super().__init__(**config)
        keys = dict(self.config.keys)
        if self.config.keys_file:
            keys |= read_keys(self.config.keys_file)
        if not keys:
            raise mb.ConfigError([("keys", "there is no key, here or in keys_file")])
        if not (self.config.header or self.config.bearer or self.config.query):
            raise mb.ConfigError([("header", "keys are looked for nowhere")])
        self._keys = {
            digest_of(key): Key(tenant=to) if isinstance(to, str) else to
            for key, to in keys.items()
        }

    def on_load(self) -> None:
        """Defines the counters, by outcome and by tenant."""
        tenants = {key.tenant for key in self._keys.values()}
        self._allowed = {name: self.counter("allowed", {"tenant": name}) for name in tenants}
        self._refused = {
            why: self.counter("refused", {"why": why})
            for why in ("missing_key", "unknown_key", "forbidden")
        }

    def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
        """Checks the key."""
        config, request = self.config, stream.request
        presented = self._take(request)
        if presented is None:
            return self._refuse(stream, 401, "missing_key", "An API key is needed.")
        key = self._find(presented)
        if key is None:
            return self._refuse(stream, 401, "unknown_key", "The API key is not known.")
        if not key.allows(request.method, request.path.partition("?")[0]):
            return self._refuse(stream, 403, "forbidden", "The API key is not for this request.")
        if config.tenant_header:
            # In place of whatever the client sent.
            request.headers[config.tenant_header] = key.tenant
        stream.metadata.set(SPACE, "tenant", key.tenant)
        if config.reroute:
            stream.clear_route_cache()
        self._allowed[key.tenant].inc()
        return None

    def _find(self, presented: str) -> Key | None:
        # By digest: what a lookup's time could tell is of the digest, not of the key.
        return self._keys.get(hashlib.sha256(presented.encode("latin-1")).digest())

    def _take(self, request: mb.Request) -> str | None:
        """The first key that is found; all are taken off."""
        config, headers = self.config, request.headers
        found: list[str] = []
        if config.header:
            found += headers.getall(config.header)[:1]
            if config.strip:
                headers.remove(config.header)
        if config.bearer:
            kind, _, token = headers.get("authorization", "").partition(" ")
            if kind.lower() == "bearer":
                found.append(token.strip())
                if config.strip:
                    headers.remove("authorization")
        if config.query:
            values, rest = split_query(request.path, config.query)
            found += values[:1]
            if config.strip and values:
                request.path = rest
        return next((value for value in found if value), None)

    def _refuse(self, stream: mb.Stream, status: int, code: str, message: str) -> mb.Status:
        self._refused[code].inc()
        headers = {"content-type": "application/json"}
        if status == 401:
            headers["www-authenticate"] = "Bearer" if self.config.bearer else "ApiKey"
        body = json.dumps({"error": {"code": code, "message": message}})
        return stream.respond(
            status, headers=headers, body=body.encode(), details=f"api_key_{code}"
        )


def digest_of(key: str) -> bytes:
    """The digest by which a key of the configuration is known."""
    match = _DIGEST.match(key)
    return bytes.fromhex(match[1]) if match else hashlib.sha256(key.encode()).digest()


def split_query(path: str, name: str) -> tuple[list[str], str]:
    """The values of a query parameter, and the path without it; all else stays as it was."""
    before, mark, query = path.partition("?")
    values: list[str] = []
    rest: list[str] = []
    for part in query.split("&") if mark else []:
        key, _, value = part.partition("=")
        if unquote_plus(key, "latin-1") == name:
            values.append(unquote_plus(value, "latin-1"))
        else:
            rest.append(part)
    return values, before + ("?" + "&".join(rest) if rest else "")


def read_keys(name: str) -> dict[str, str | Key]:
    """Reads a file of keys; raises ConfigError."""
    try:
        return msgspec.json.decode(Path(name).read_bytes(), type=KeyFile).keys
    except OSError as error:
        raise mb.ConfigError([("keys_file", f"{name} cannot be read: {error.strerror}")]) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text = str(error).replace("`", "").replace("\n", " ")
        raise mb.ConfigError([("keys_file", f"{name}: {text}")]) from None
