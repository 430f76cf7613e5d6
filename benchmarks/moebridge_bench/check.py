"""What a proxy must do before it is measured."""

from __future__ import annotations

import subprocess

from .peer import Peer, PeerError, Protocol

__all__ = ["check", "url_of"]


def url_of(address: str, protocol: Protocol) -> str:
    """Returns what a client asks for."""
    return f"{'https' if protocol == 'tls' else 'http'}://{address}/"


def _answer(address: str, protocol: Protocol) -> tuple[int, bytes, dict[str, str]]:
    """What curl gets of /check: status, body, headers."""
    how = ["--http2-prior-knowledge"] if protocol == "h2" else ["--http1.1", "--insecure"]
    command = ["curl", "-sS", "-i", "--max-time", "10", *how, f"{url_of(address, protocol)}check"]
    head, _, body = subprocess.run(command, capture_output=True, check=True).stdout.partition(
        b"\r\n\r\n"
    )
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), body, headers


def check(peer: Peer, address: str, upstream: str, protocol: Protocol) -> None:
    """All rows give the upstream's answer, and those with a header filter did what it says."""
    expected = _answer(upstream, "h1")
    found = _answer(address, protocol)
    if found[:2] != expected[:2]:
        raise PeerError(
            f"{peer.name}: answers {found[0]}, {len(found[1])} bytes; not the upstream's"
        )
    if peer.answers:
        return
    set_ = (found[2].get("x-saw"), found[2].get("x-bench-response"))
    if set_ != (("set", "set") if peer.sets_headers else (None, None)):
        raise PeerError(f"{peer.name}: its headers are {set_}")
