"""What upgrade_configs and connect_matcher mean in the model, and what is refused of them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.config.conftest import Document, hcm_of

from moebridge.config import model as m
from moebridge.config.model import decode, encode
from moebridge.config.simple import build_simple
from moebridge.errors import ConfigError

Config = dict[str, Any]


def test_of_a_listener_and_of_a_route(document: Document) -> None:
    document.hcm["upgrade_configs"] = [
        {"upgrade_type": "websocket"},
        {"upgrade_type": "raw", "enabled": False},
    ]
    document.route["route"]["upgradeConfigs"] = [{"upgradeType": "CONNECT", "connectConfig": {}}]
    document.route["match"] = {"connect_matcher": {}}
    config = document.load()
    hcm = hcm_of(config.listeners[0])
    assert hcm.upgrades == [m.Upgrade(type="websocket"), m.Upgrade(type="raw", enabled=False)]
    route = hcm.route_config.virtual_hosts[0].routes[0]
    assert route.match.path == m.PathMatch(kind="connect", value="")
    assert isinstance(route.action, m.Forward)
    assert route.action.upgrades == [m.Upgrade(type="CONNECT", terminate=True)]
    assert decode(encode(config)) == config


def test_defaults(document: Document) -> None:
    hcm = hcm_of(document.load().listeners[0])
    action = hcm.route_config.virtual_hosts[0].routes[0].action
    assert isinstance(action, m.Forward)
    assert (hcm.upgrades, action.upgrades) == ([], [])


@pytest.mark.parametrize(
    ("entries", "field", "message"),
    [
        ([{}], "[0].upgrade_type", "is required"),
        (
            [{"upgrade_type": "a"}, {"upgrade_type": "A"}],
            "[1].upgrade_type",
            'there are two for "A"',
        ),
    ],
)
def test_what_is_refused_of_a_listener(
    document: Document, entries: list[Config], field: str, message: str
) -> None:
    document.hcm["upgrade_configs"] = entries
    (fault,) = document.faults()
    assert fault[0].endswith(f"typed_config.upgrade_configs{field}")
    assert message in fault[1]


@pytest.mark.parametrize(
    ("entries", "field", "message"),
    [
        (
            [{"upgrade_type": "websocket", "connect_config": {}}],
            "[0].connect_config",
            "is of CONNECT",
        ),
        (
            [{"upgrade_type": "CONNECT", "connect_config": {"allow_post": True}}],
            "[0].connect_config.allow_post",
            "not",
        ),
        ([{"upgrade_type": "CONNECT", "filters": []}], "[0].filters", ""),
    ],
)
def test_what_is_refused_of_a_route(
    document: Document, entries: list[Config], field: str, message: str
) -> None:
    document.route["route"]["upgrade_configs"] = entries
    (fault,) = document.faults()
    assert fault[0].endswith(f"route.upgrade_configs{field}")
    assert message in fault[1]


def test_of_the_object_form() -> None:
    config = build_simple("127.0.0.1:0", "127.0.0.1:9000", upgrades=["websocket", "IRC/6.9"])
    hcm = hcm_of(config.listeners[0])
    assert hcm.upgrades == [m.Upgrade(type="websocket"), m.Upgrade(type="IRC/6.9")]
    assert hcm.http2.allow_connect
    plain = hcm_of(build_simple("127.0.0.1:0", "127.0.0.1:9000").listeners[0])
    assert (plain.upgrades, plain.http2.allow_connect) == ([], False)


@pytest.mark.parametrize("wrong", [["a b"], [""], [1], 5, ["a\r\n"]])
def test_wrong_names_in_the_object_form(wrong: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        build_simple("127.0.0.1:0", "127.0.0.1:9000", upgrades=wrong)
    assert caught.value.faults[0].path == "upgrades"
