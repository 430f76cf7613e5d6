"""All proxies of the comparison, by the names of their rows."""

from __future__ import annotations

from . import envoy, haproxy, hook_rows, moebridge_rows, nginx, python_peers, relay, route_rows

__all__ = ["PEERS", "SETTINGS"]

_FILES = (nginx, haproxy, envoy, relay, python_peers, moebridge_rows, route_rows, hook_rows)

#: The proxies.
PEERS = {peer.name: peer for file in _FILES for peer in file.PEERS}

#: What is on and off on each side; goes into the results.
SETTINGS = {name: text for file in _FILES for name, text in file.SETTINGS.items()}
