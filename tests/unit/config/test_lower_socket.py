"""Addresses and sockets of a listener."""

from __future__ import annotations

import socket

import pytest
from tests.unit.config.conftest import Document

from moebridge.config.listener_model import ListenAddress, SocketOption

LISTENER = "static_resources.listeners[0]"


def test_pipes_and_further_addresses_are_lowered(document: Document) -> None:
    tcp = {"socket_address": {"address": "::", "port_value": 81, "ipv4_compat": True}}
    document.listener["address"] = {"pipe": {"path": "/run/x", "mode": 0o660}}
    document.listener["additional_addresses"] = [
        {"address": tcp},
        {"address": {"pipe": {"path": "@x"}}},
    ]
    assert document.load().listeners[0].addresses == [
        ListenAddress(path="/run/x", mode=0o660),
        ListenAddress(host="::", port=81, ipv4_compat=True),
        ListenAddress(path="@x"),
    ]


def test_an_address_given_twice_is_refused(document: Document) -> None:
    pipe = {"address": {"pipe": {"path": "/run/x"}}}
    document.listener["additional_addresses"] = [pipe, pipe]
    assert document.faults() == [
        (f"{LISTENER}.additional_addresses[1].address", "duplicate address /run/x")
    ]


def test_envoys_switches_become_options_of_both_families(document: Document) -> None:
    document.listener.update(transparent=True, freebind=False, tcp_fast_open_queue_length=7)
    options = document.load().listeners[0].socket_options
    assert [(o.level, o.name, o.value, o.family, o.state) for o in options] == [
        (socket.IPPROTO_IP, 19, 1, "ipv4", "prebind"),
        (socket.IPPROTO_IPV6, 75, 1, "ipv6", "prebind"),
        (socket.IPPROTO_IP, 15, 0, "ipv4", "prebind"),
        (socket.IPPROTO_IPV6, 78, 0, "ipv6", "prebind"),
        (socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 7, "ipv4", "listening"),
        (socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 7, "ipv6", "listening"),
    ]


def test_socket_options_are_lowered(document: Document) -> None:
    document.listener["socket_options"] = [
        {"description": "d", "level": 1, "name": 9, "int_value": "-1", "state": "STATE_BOUND"}
    ]
    assert document.load().listeners[0].socket_options == [
        SocketOption(level=1, name=9, value=-1, state="bound")
    ]


@pytest.mark.parametrize(
    ("option", "field"),
    [
        ({"level": 1, "name": 2}, "int_value"),
        ({"level": 1, "name": 2, "int_value": 2**31}, "int_value"),
        ({"level": 1, "name": 2, "buf_value": "eA=="}, "buf_value"),
    ],
)
def test_options_that_are_no_int_are_refused(
    document: Document, option: dict[str, object], field: str
) -> None:
    document.listener["socket_options"] = [option]
    assert f"{LISTENER}.socket_options[0].{field}" in [path for path, _ in document.faults()]


def test_use_original_dst_brings_its_filter(document: Document) -> None:
    document.listener["use_original_dst"] = True
    listener = document.load().listeners[0]
    assert listener.use_original_dst
    assert [type(item).__name__ for item in listener.listener_filters] == ["OriginalDst"]
