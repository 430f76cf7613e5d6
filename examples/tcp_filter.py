"""A TCP proxy with a filter: only clients that say the word get through.

python examples/tcp_filter.py [LISTEN UPSTREAM]
(echo friend; echo hello) | nc 127.0.0.1 7000
"""

import sys

import moebridge as mb


class Password(mb.NetworkFilter):
    """Lets only clients through that say a word first."""

    class Config(mb.Config):
        """What a configuration may say."""

        word: str

    config: Config

    def on_load(self) -> None:
        """Defines what is counted."""
        self.refused = self.counter("refused")

    def on_connect(self, conn: mb.Connection) -> mb.Status:  # noqa: ARG002
        """The upstream does not know of the connection yet."""
        return mb.Status.STOP_ITERATION

    def on_data(self, conn: mb.Connection, data: mb.Buffer) -> mb.Status | None:
        """Looks at the first bytes; what follows passes unseen."""
        word = self.config.word.encode()
        if conn.state.get("known"):
            return None
        if len(data) < len(word) and not conn.ended:
            return mb.Status.STOP_ITERATION  # called again with these bytes and more
        if not data.startswith(word):
            self.refused.inc()
            conn.write(b"no\n")
            conn.close(details="wrong_word")
            return None
        conn.state["known"] = True
        data.drain(len(word))
        return None


if __name__ == "__main__":
    listen, upstream = sys.argv[1:] or ["127.0.0.1:7000", "127.0.0.1:7001"]
    proxy = mb.Proxy(listen=listen, upstream=upstream, filters=[Password(word="friend\n")])
    proxy.run(on_start=lambda: print("listening", proxy.addresses["main"], flush=True))
