"""Configuration of built-in native filters, in HttpFilter.config and PerFilter.config."""

from __future__ import annotations

from typing import Literal

from moebridge.config.value_model import HeaderAdd, StringMatch, Value

__all__ = ["BasicAuth", "BasicAuthUser", "HeaderMutation", "Mutation"]


class Mutation(Value, frozen=True, kw_only=True):
    """One step of header_mutation, carried out in the order given."""

    # "remove": header `name`. "append": `add`. "remove_on_match": headers whose name matches
    # `match`.
    kind: Literal["append", "remove", "remove_on_match"]
    # Lower case; "" unless kind is "remove".
    name: str = ""
    add: HeaderAdd | None = None
    match: StringMatch | None = None


class HeaderMutation(Value, frozen=True, kw_only=True):
    """Envoy's extensions.filters.http.header_mutation.v3.HeaderMutation."""

    request: list[Mutation] = []
    request_trailers: list[Mutation] = []
    response: list[Mutation] = []
    response_trailers: list[Mutation] = []
    # Of the chain's configuration only. Per-route overrides of this filter don't replace but add:
    # all levels apply, route configuration first, the most specific last; True: that order and the
    # chain's own first. False (default): the most specific first, route configuration last.
    most_specific_header_mutations_wins: bool = False


class BasicAuthUser(Value, frozen=True, kw_only=True):
    """A line of the htpasswd text."""

    name: str
    # 20 bytes: SHA-1 of the password (`{SHA}` format).
    sha1: bytes


class BasicAuth(Value, frozen=True, kw_only=True):
    """Envoy's extensions.filters.http.basic_auth.v3.BasicAuth."""

    # At least one; names unique.
    users: list[BasicAuthUser]
    # Request header that gets the user's name, lower case; "" = none (default).
    forward_username_header: str = ""
    # Request header that has the credentials, lower case. Default "authorization".
    authentication_header: str = "authorization"
