"""A filter that edits WebSocket messages on their way: text becomes upper case, in both directions.

Behind an accepted upgrade the body hooks see the tunnel's bytes, in pieces that know nothing of
frames. This filter follows the frames (RFC 6455 5.2) across the pieces, takes the mask off what it
changes and puts it on again, and keeps at most one frame's header in memory.

    python examples/websocket_filter.py [LISTEN UPSTREAM]
"""

import sys

import moebridge as mb

TEXT = 0x1
CONTROL = 0x8  # and above: close, ping, pong
MASKED = 0x80
HEADER_BYTES_MAX = 14


def masked(data: bytes, mask: bytes, at: int) -> bytes:
    """Puts a mask on, or takes it off, `at` bytes behind the start of the payload."""
    turned = mask[at % 4 :] + mask[: at % 4]
    pattern = turned * (len(data) // 4 + 1)
    number = int.from_bytes(data, "big") ^ int.from_bytes(pattern[: len(data)], "big")
    return number.to_bytes(len(data), "big")


class Frames:
    """Follows the frames of one direction and changes the text in them, length by length."""

    def __init__(self) -> None:
        self.header = b""  # of the next frame, as far as it has come
        self.left = 0  # bytes of payload that must still come
        self.at = 0  # bytes of it that have come
        self.mask = b""
        self.in_text = False  # the message that is under way is text
        self.edits = False  # the present frame is of it

    def edit(self, piece: bytes) -> bytes:
        """Returns what takes the place of the next bytes of the tunnel."""
        out = []
        while piece:
            if self.left == 0:
                taken, piece = self._take_header(piece)
                out.append(taken)
                continue
            data, piece = piece[: self.left], piece[self.left :]
            out.append(self._edit_payload(data) if self.edits else data)
            self.left -= len(data)
            self.at += len(data)
        return b"".join(out)

    def _edit_payload(self, data: bytes) -> bytes:
        if not self.mask:
            return data.upper()
        return masked(masked(data, self.mask, self.at).upper(), self.mask, self.at)

    def _take_header(self, piece: bytes) -> tuple[bytes, bytes]:
        """Splits off what belongs to a frame's header, and begins the frame when it is whole."""
        before = len(self.header)
        known = (self.header + piece)[:HEADER_BYTES_MAX]
        size = self._header_size(known)
        self.header = known[:size]
        taken = size - before if len(known) >= size else len(piece)
        if len(self.header) == size:
            self._begin_frame()
        return piece[:taken], piece[taken:]

    @staticmethod
    def _header_size(known: bytes) -> int:
        if len(known) < 2:
            return 2
        length = known[1] & ~MASKED
        return 2 + {126: 2, 127: 8}.get(length, 0) + (4 if known[1] & MASKED else 0)

    def _begin_frame(self) -> None:
        header, self.header = self.header, b""
        opcode = header[0] & 0xF
        length = header[1] & ~MASKED
        self.mask = header[-4:] if header[1] & MASKED else b""
        end = len(header) - len(self.mask)
        self.left = int.from_bytes(header[2:end], "big") if length > 125 else length
        self.at = 0
        if 0 < opcode < CONTROL:  # 0 goes on with the message before it
            self.in_text = opcode == TEXT
        self.edits = self.in_text and opcode < CONTROL


class UpperCase(mb.HttpFilter):
    """Turn the text of WebSocket messages to upper case."""

    class State:
        """What is known of one tunnel."""

        def __init__(self) -> None:
            self.sent, self.received = Frames(), Frames()

    def on_load(self) -> None:
        """Defines the counter."""
        self.tunnels = self.counter("tunnels")

    def on_request_headers(self, stream: mb.Stream) -> None:
        """Offers no compression: it would be text no more."""
        if stream.request.headers.get("upgrade", "").lower() == "websocket":
            stream.request.headers.remove("sec-websocket-extensions")

    def on_request_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        """The client's frames: of a tunnel only, since they wait until it is accepted."""
        if "upgrade" in stream.request.headers and len(data):
            data.replace(stream.state.sent.edit(bytes(data)))

    def on_response_headers(self, stream: mb.Stream) -> None:
        """Counts what was accepted."""
        if stream.response.status == 101:
            self.tunnels.inc()

    def on_response_body(self, stream: mb.Stream, data: mb.Buffer) -> None:
        """The server's frames, unless it declined."""
        if stream.response.status == 101 and len(data):
            data.replace(stream.state.received.edit(bytes(data)))


if __name__ == "__main__":
    listen, upstream = sys.argv[1:] or ["127.0.0.1:8080", "127.0.0.1:9000"]
    proxy = mb.Proxy(
        listen=listen,
        upstream=upstream,
        filters=[UpperCase()],
        upgrades=["websocket"],
        idle_timeout_s=300,
    )
    proxy.run(on_start=lambda: print("listening", proxy.addresses["main"], flush=True))
