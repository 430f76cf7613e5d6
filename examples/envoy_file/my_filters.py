"""Filters that envoy.yaml names."""

import moebridge as mb


class Tenant(mb.HttpFilter):
    """Put the tenant that the host names into x-tenant."""

    class Config(mb.Config):
        """What a configuration may say; checked field by field when the file is loaded."""

        suffix: str
        default: str = "nobody"

    config: Config

    def on_request_headers(self, stream: mb.Stream) -> None:
        """Writes the header."""
        host = stream.request.authority.partition(":")[0]
        name = host.removesuffix(self.config.suffix) if host.endswith(self.config.suffix) else ""
        stream.request.headers["x-tenant"] = name or self.config.default
        stream.clear_route_cache()  # routes may match x-tenant
