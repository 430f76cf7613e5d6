"""Filters that tests of TLS load by file."""

from __future__ import annotations

import moebridge as mb


class Teller(mb.HttpFilter):
    """Answers with what it knows of the client's TLS."""

    def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
        tls = stream.info.tls
        if tls is None:
            return stream.respond(200, body=b"clear text")
        peer = tls.peer
        lines = [tls.version, tls.sni or "-", tls.alpn or "-", str(tls.session_reused)]
        if peer is not None:
            lines += [peer.subject, peer.issuer, peer.serial, peer.sha256, *peer.uri_sans]
            lines += [*peer.dns_sans, str(peer.verified), str(peer.not_after)]
        return stream.respond(200, body="\n".join(lines).encode())
