"""Lowers the configuration of the built-in native filters that Envoy has too."""

from __future__ import annotations

import base64
import binascii
import contextlib
from typing import Any

from moebridge.config.faults import Path, quoted
from moebridge.config.filter_model import BasicAuth, BasicAuthUser, HeaderMutation, Mutation
from moebridge.config.lower_values import (
    Context,
    data_source,
    header_add,
    header_name,
    string_match,
)
from moebridge.config.proto_json import Node, read_message

__all__ = ["ENVOY_TYPES", "NATIVE_FILTERS", "lower_native", "native_config"]

#: Filters built in the core, as `moebridge_native` names them.
NATIVE_FILTERS = ("basic_auth", "body_scan", "grpc_web", "header_mutation")

_HTTP = "envoy.extensions.filters.http."
#: Envoy's own types that a built-in filter serves: type -> filter.
ENVOY_TYPES = {
    _HTTP + "header_mutation.v3.HeaderMutation": "header_mutation",
    _HTTP + "basic_auth.v3.BasicAuth": "basic_auth",
    _HTTP + "grpc_web.v3.GrpcWeb": "grpc_web",
    _HTTP + "header_mutation.v3.HeaderMutationPerRoute": "header_mutation",
    _HTTP + "basic_auth.v3.BasicAuthPerRoute": "basic_auth",
}
#: Built-in filter -> Envoy's message for it; the others take what they like.
_MESSAGES = {
    "header_mutation": _HTTP + "header_mutation.v3.HeaderMutation",
    "basic_auth": _HTTP + "basic_auth.v3.BasicAuth",
    "grpc_web": _HTTP + "grpc_web.v3.GrpcWeb",
}
#: Those of them that there is nothing to configure for, so that nothing may be given.
_BARE = ("grpc_web",)
_MUTATION_LISTS = {
    "request": "request_mutations",
    "request_trailers": "request_trailers_mutations",
    "response": "response_mutations",
    "response_trailers": "response_trailers_mutations",
}


def native_config(ctx: Context, native: str, value: Any, path: Path, chain: Any = None) -> Any:
    """Configuration of a built-in filter from plain values: Envoy's message in JSON form.

    Args:
        ctx: where faults go.
        native: one of NATIVE_FILTERS.
        value: the plain values.
        path: where they stand.
        chain: for an override per route, the chain's own configuration.
    """
    message = _MESSAGES.get(native)
    if message is None:
        return value
    if value is None and native in _BARE:
        return None
    if not isinstance(value, dict):
        ctx.fault(path, f"{native} needs an object, the content of {message}")
        return None
    node = read_message(
        ctx.faults, message + ("PerRoute" if chain is not None else ""), value, path
    )
    return lower_native(ctx, native, node, chain if isinstance(chain, BasicAuth) else None)


def lower_native(
    ctx: Context, native: str, node: Node, chain: BasicAuth | None = None
) -> HeaderMutation | BasicAuth | None:
    """Configuration of a built-in filter from Envoy's message that was read.

    Args:
        ctx: where faults go.
        native: "header_mutation", "basic_auth" or "grpc_web".
        node: the message; for basic_auth with `chain`, the one per route.
        chain: the chain's own configuration, which gives what the one per route cannot say.

    Returns:
        The configuration; None for a filter that has none.
    """
    if native in _BARE:
        return None
    if native == "basic_auth":
        return _basic_auth(ctx, node, chain)
    return _header_mutation(ctx, node)


def _header_mutation(ctx: Context, node: Node) -> HeaderMutation:
    mutations = node.node("mutations")
    lists = {
        ours: [m for n in mutations.nodes(theirs) if (m := _mutation(ctx, n)) is not None]
        for ours, theirs in _MUTATION_LISTS.items()
    }
    wins = node.get("most_specific_header_mutations_wins", False)
    return HeaderMutation(**lists, most_specific_header_mutations_wins=wins)


def _mutation(ctx: Context, node: Node) -> Mutation | None:
    if "append" in node:
        add = header_add(ctx, node["append"])
        return Mutation(kind="append", add=add) if add is not None else None
    if "remove_on_match" in node:
        matcher = node["remove_on_match"].node("key_matcher")
        return Mutation(kind="remove_on_match", match=string_match(matcher))
    name = node.get("remove", "")
    if not name and "remove" in node:
        ctx.fault(node.at("remove"), "must not be empty")
    if name.startswith(":") or name.lower() == "host":
        ctx.fault(node.at("remove"), f"{quoted(name)}: pseudo-headers and host cannot be removed")
        return None
    return Mutation(kind="remove", name=header_name(ctx, node.at("remove"), name))


def _basic_auth(ctx: Context, node: Node, chain: BasicAuth | None) -> BasicAuth:
    users: list[BasicAuthUser] = []
    if "users" in node:
        users = _htpasswd(ctx, node.at("users"), data_source(ctx, node["users"]))
    elif "users" not in node.bad and chain is None:
        ctx.fault(node.at("users"), "is required")
    if chain is not None:
        return BasicAuth(
            users=users,
            forward_username_header=chain.forward_username_header,
            authentication_header=chain.authentication_header,
        )
    forward, credentials = "forward_username_header", "authentication_header"
    return BasicAuth(
        users=users,
        forward_username_header=header_name(ctx, node.at(forward), node.get(forward, "")),
        authentication_header=header_name(ctx, node.at(credentials), node.get(credentials, ""))
        or "authorization",
    )


def _htpasswd(ctx: Context, path: Path, text: bytes) -> list[BasicAuthUser]:
    users: dict[str, BasicAuthUser] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.decode("utf-8", "replace").strip()
        if not line or line.startswith("#"):
            continue
        name, _, secret = line.partition(":")
        digest = b""
        with contextlib.suppress(binascii.Error, ValueError):
            digest = base64.b64decode(secret.removeprefix("{SHA}"), validate=True)
        if not name or not secret.startswith("{SHA}") or len(digest) != 20:
            # The line itself is a secret and stays out of the message.
            ctx.fault(path, f"line {number}: expected name:{{SHA}}base64 of a SHA-1")
        elif name in users:
            ctx.fault(path, f"line {number}: duplicate user {quoted(name)}")
        else:
            users[name] = BasicAuthUser(name=name, sha1=digest)
    if not users:
        ctx.fault(path, "has no user")
    return list(users.values())
