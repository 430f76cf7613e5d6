"""Connections that the kernel gives to the proxy (REDIRECT, TPROXY) and ones in the client's name,
over a network of three machines that is set up as docs/transparent.md says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.support.envoy_config import cluster, http_config, to
from tests.e2e.support.listener_config import chain, listener_filter
from tests.e2e.support.network import V4, V6, Family, Network, Scene
from tests.e2e.support.upstream import Exchange

GUIDE = Path(__file__).resolve().parents[3] / "docs/transparent.md"


def rules(title: str) -> str:
    """The commands in a section of the guide."""
    section = re.split(rf"^#+ {title}$", GUIDE.read_text("utf-8"), flags=re.MULTILINE)[1]
    return section.partition("```sh\n")[2].partition("```")[0]


def _network(*titles: str) -> Iterator[Network]:
    # Each command once: sections begin with what others have done already.
    lines = dict.fromkeys(line for title in titles for line in rules(title).splitlines())
    with ExitStack() as stack:
        network = Network(stack)
        network.rules(list(lines))
        yield network


@pytest.fixture(scope="module")
def network_of_redirect() -> Iterator[Network]:
    yield from _network("REDIRECT", "Upstreams on the machine")


@pytest.fixture(scope="module")
def network_of_tproxy() -> Iterator[Network]:
    # No rule loads the connection tracking, so there is no SO_ORIGINAL_DST either.
    yield from _network("TPROXY", "Upstreams behind the machine")


@pytest.fixture
def redirect(network_of_redirect: Network, tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(network_of_redirect, stack, tmp_path)


@pytest.fixture
def tproxy(network_of_tproxy: Network, tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(network_of_tproxy, stack, tmp_path)


async def who(exchange: Exchange) -> None:
    """Answers with the address of whoever connected."""
    host, port = exchange.writer.get_extra_info("peername")[:2]
    await exchange.respond(200, [], f"{host} {port}".encode())


def answering(name: str, match: dict[str, Any] | None = None) -> dict[str, Any]:
    """A filter chain that answers with its name, and where the connection was meant to go."""
    headers = [
        {"header": {"key": "x-local", "value": "%DOWNSTREAM_LOCAL_ADDRESS%"}},
        {"header": {"key": "x-direct-local", "value": "%DOWNSTREAM_DIRECT_LOCAL_ADDRESS%"}},
    ]
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": name}},
        "response_headers_to_add": headers,
    }
    return chain([route], match, name=name)


def address(host: str, port: int) -> dict[str, Any]:
    """Where to listen; on :: by IPv4 too."""
    found = {"address": host, "port_value": port, "ipv4_compat": host == "::"}
    return {"address": {"socket_address": found}}


def listener(name: str, host: str, port: int, **fields: Any) -> dict[str, Any]:
    chains = {"filter_chains": [answering(name)]}
    return {"name": name, **address(host, port), **chains, **fields}


def bootstrap(*listeners: dict[str, Any]) -> dict[str, Any]:
    return {"static_resources": {"listeners": list(listeners), "clusters": []}}


def by_port(host: str, **fields: Any) -> dict[str, Any]:
    """A listener that answers by the port that a connection was meant for."""
    chains = [answering("eighty", {"destination_port": 80}), answering("rest")]
    return listener("main", host, 8080, filter_chains=chains, **fields)


both = pytest.mark.parametrize("family", [V4, V6], ids=["v4", "v6"])
# With a client by IPv4 of a listener on :: too.
each_way = pytest.mark.parametrize(
    ("family", "host"), [(V4, "0.0.0.0"), (V6, "::"), (V4, "::")], ids=["v4", "v6", "v4-on-v6"]
)


@each_way
def test_a_chain_is_chosen_by_the_port_before_redirect(
    redirect: Scene, family: Family, host: str
) -> None:
    filters = [listener_filter("original_dst")]
    redirect.core(bootstrap(by_port(host, listener_filters=filters)))
    for port, name in ((80, b"eighty"), (81, b"rest")):
        answer = redirect.ask(family.at("far", port))
        assert (answer.body, answer.get("x-local")) == (name, family.at("far", port))
        assert answer.get("x-direct-local") == family.at("router", 8080)
    answer = redirect.ask(family.at("router", 8080))  # nobody redirected this one
    assert answer.body == b"rest"
    assert answer.get("x-local") == answer.get("x-direct-local") == family.at("router", 8080)


@both
def test_without_the_filter_a_redirected_connection_is_one_to_the_proxy(
    redirect: Scene, family: Family
) -> None:
    redirect.core(bootstrap(by_port(family.wildcard)))
    answer = redirect.ask(family.at("far", 80))
    assert (answer.body, answer.get("x-local")) == (b"rest", family.at("router", 8080))


@each_way
def test_a_chain_is_chosen_by_the_port_that_tproxy_leaves(
    tproxy: Scene, family: Family, host: str
) -> None:
    tproxy.core(bootstrap(by_port(host, transparent=True)))
    for port, name in ((80, b"eighty"), (81, b"rest")):
        answer = tproxy.ask(family.at("far", port))
        assert (answer.body, answer.get("x-local")) == (name, family.at("far", port))
        assert answer.get("x-direct-local") == family.at("far", port)


@pytest.mark.parametrize("how", ["redirect", "tproxy"])
@each_way
def test_the_listener_of_the_destination_gets_the_connection(
    request: pytest.FixtureRequest, family: Family, host: str, how: str
) -> None:
    scene: Scene = request.getfixturevalue(how)
    fields = {"use_original_dst": True, "transparent": how == "tproxy"}
    scene.core(
        bootstrap(
            listener("main", host, 8080, **fields),
            listener("exact", family.far, 80, bind_to_port=False),
            listener("any", host, 81, bind_to_port=False),
        )
    )
    for port, name in ((80, b"exact"), (81, b"any"), (82, b"main")):
        answer = scene.ask(family.at("far", port))
        assert (answer.body, answer.get("x-local")) == (name, family.at("far", port))
    assert scene.ask(family.at("router", 8080)).body == b"main"


def in_the_clients_name(host: str, **fields: Any) -> dict[str, Any]:
    """A listener whose connections to upstreams come from the client's address."""
    return {**address(host, 8080), "listener_filters": [listener_filter("original_src", **fields)]}


@both
def test_an_upstream_behind_the_proxy_sees_the_client(tproxy: Scene, family: Family) -> None:
    upstream = tproxy.upstream(who, family.at("upstream", 0))
    listening = in_the_clients_name(family.wildcard)
    tproxy.core(http_config(upstream.address, listener=listening))
    said = tproxy.ask(family.at("router", 8080)).body.decode()
    assert said.split(" ")[0] == family.client


@both
def test_an_upstream_beside_the_proxy_sees_the_client(redirect: Scene, family: Family) -> None:
    upstream = redirect.upstream(who, family.at("gateway", 0), beside_proxy=True)
    listening = in_the_clients_name(family.wildcard, mark=7)
    redirect.core(http_config(upstream.address, listener=listening))
    said = redirect.ask(family.at("router", 8080)).body.decode()
    assert said.split(" ")[0] == family.client


@both
def test_neither_end_sees_a_proxy_that_is_transparent_both_ways(
    tproxy: Scene, family: Family
) -> None:
    upstream = tproxy.upstream(who, family.at("upstream", 80))
    listening = in_the_clients_name(family.wildcard, bind_port=True)
    core = tproxy.core(http_config(upstream.address, listener={"transparent": True, **listening}))
    client = tproxy.client(upstream.address)
    own = f"{family.client} {client.socket.getsockname()[1]}"
    assert [client.request().body.decode() for _ in range(2)] == [own, own]
    assert core.stats()["http.ingress.downstream_rq_total"] == 2  # it was there


@both
def test_several_upstreams_see_the_same_port_of_a_client(tproxy: Scene, family: Family) -> None:
    upstreams = [tproxy.upstream(who, family.at("upstream", 0)) for _ in range(2)]
    clusters = [cluster(one.address, name=f"c{i}") for i, one in enumerate(upstreams)]
    listening = in_the_clients_name(family.wildcard, bind_port=True)
    routes = [to("c1", prefix="/1"), to("c0")]
    tproxy.core(http_config(clusters, routes=routes, listener=listening))
    client = tproxy.client(family.at("router", 8080))
    own = f"{family.client} {client.socket.getsockname()[1]}"
    said = [client.request(target=target).body.decode() for target in ("/0", "/1", "/0")]
    assert said == [own] * 3
    assert [one.connections for one in upstreams] == [1, 1]
