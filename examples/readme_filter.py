"""The README's filter: only requests with a known key go upstream.

python examples/readme_filter.py [LISTEN UPSTREAM]
curl -H 'x-api-key: s3cret' http://127.0.0.1:8080/
"""

import sys

import moebridge as mb


class ApiKey(mb.HttpFilter):
    """Let only known keys through."""

    class Config(mb.Config):  # typed; checked when the configuration loads
        """What a configuration may say."""

        keys: dict[str, str]
        header: str = "x-api-key"

    config: Config

    def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
        """Looks the key up."""
        user = self.config.keys.get(stream.request.headers.get(self.config.header, ""))
        if user is None:
            return stream.respond(401, body=b"unknown key\n")
        stream.request.headers["x-user"] = user
        return None


if __name__ == "__main__":
    listen, upstream = sys.argv[1:] or ["127.0.0.1:8080", "127.0.0.1:9000"]
    proxy = mb.Proxy(listen=listen, upstream=upstream, filters=[ApiKey(keys={"s3cret": "ann"})])
    proxy.run(on_start=lambda: print("listening", proxy.addresses["main"], flush=True))
