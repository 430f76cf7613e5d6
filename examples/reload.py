"""Changing filters while requests flow: each is answered, by the old chain or by the new one.

python examples/reload.py
"""

import threading
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import moebridge as mb


class Version(mb.HttpFilter):
    """Say which version of the chain answered."""

    class Config(mb.Config):
        """What a configuration may say."""

        version: int

    config: Config

    def on_response_headers(self, stream: mb.Stream) -> None:
        """Writes the header."""
        stream.response.headers["x-version"] = str(self.config.version)

    def on_worker_stop(self) -> None:
        """Runs after this version's last stream."""
        print(f"version {self.config.version}: no stream is left")


class Hello(BaseHTTPRequestHandler):
    """The upstream."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answers."""
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Says nothing."""


def main() -> None:
    """Reloads five times under load, once with a mistake."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    upstream = f"127.0.0.1:{server.server_port}"
    proxy = mb.Proxy(listen="127.0.0.1:0", upstream=upstream, filters=[Version(version=1)])
    proxy.start()
    seen: Counter[str] = Counter()
    is_over = threading.Event()

    def load() -> None:
        while not is_over.is_set():
            with urllib.request.urlopen(f"http://{proxy.addresses['main']}/") as response:
                seen[f"{response.status}, version {response.headers['x-version']}"] += 1

    client = threading.Thread(target=load)
    client.start()

    def wait_for_answers(count: int) -> None:
        before = seen.total()
        while seen.total() < before + count:
            is_over.wait(0.001)

    for version in range(2, 6):
        wait_for_answers(50)
        proxy.reload(filters=[Version(version=version)])
    try:
        proxy.reload(filters=[Version(version="six")])
    except mb.ConfigError as error:
        print(f"refused, version 5 stays: {error}")
    wait_for_answers(50)
    is_over.set()
    client.join()
    proxy.stop()
    server.shutdown()
    server.server_close()
    for answer, count in sorted(seen.items()):
        print(f"{count} answers {answer}")


if __name__ == "__main__":
    main()
