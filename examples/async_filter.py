"""An async filter: asks a slow service who a token belongs to, and remembers the answer.

While the hook is suspended the stream waits and all others go on. Requests that ask for the same
token at the same time share one question.

    python examples/async_filter.py [LISTEN UPSTREAM]
    curl -H 'authorization: Bearer ann-1' http://127.0.0.1:8080/
"""

import asyncio
import sys

import moebridge as mb


class WhoIs(mb.HttpFilter):
    """Put the owner of the bearer token into x-user."""

    class Config(mb.Config):
        """What a configuration may say."""

        delay_s: float = 0.05

    config: Config

    def on_load(self) -> None:
        """Defines the counter."""
        self.asked = self.counter("asked")

    def on_worker_start(self) -> None:
        """Makes what belongs to the worker's loop."""
        self.answers: dict[str, asyncio.Task[str]] = {}

    async def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
        """Waits for the answer."""
        token = stream.request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.answers:
            self.asked.inc()
            self.answers[token] = asyncio.create_task(self.ask(token))
        # Shielded: when this client goes, the others still want the answer.
        user = await asyncio.shield(self.answers[token])
        if not user:
            return stream.respond(401, body=b"who are you?\n")
        stream.request.headers["x-user"] = user
        return None

    async def ask(self, token: str) -> str:
        """Stands for a question over the network."""
        await asyncio.sleep(self.config.delay_s)
        return token.partition("-")[0]


if __name__ == "__main__":
    listen, upstream = sys.argv[1:] or ["127.0.0.1:8080", "127.0.0.1:9000"]
    proxy = mb.Proxy(listen=listen, upstream=upstream, filters=[WhoIs()])
    proxy.run(on_start=lambda: print("listening", proxy.addresses["main"], flush=True))
