"""moebridge: a proxy data plane you import; a C core that runs filters written in Python.

What only configurations need is imported when one is read; msgspec, which is slow to import, with
`Config`.
"""

from typing import TYPE_CHECKING, Any

from moebridge._backend import Headers, RawHeaders, Request, Response, Stream
from moebridge._dispatch import Buffer, Connection
from moebridge._dispatch import __pyx_capi__ as __pyx_capi__  # what __init__.pxd declares
from moebridge.chain import NativeFilter, options
from moebridge.connection_info import ConnectionInfo
from moebridge.errors import ConfigError, Error, Fault, FilterError, StreamGone, WrongThread
from moebridge.filter import HttpFilter
from moebridge.info import Info
from moebridge.metadata import Metadata
from moebridge.metrics import Counter, Gauge, Histogram
from moebridge.network_filter import NetworkFilter
from moebridge.proxy import Proxy
from moebridge.status import Status
from moebridge.tls_info import TlsInfo, TlsPeer

if TYPE_CHECKING:
    from moebridge.filter_config import Config

__all__ = [
    "Buffer",
    "Config",
    "ConfigError",
    "Connection",
    "ConnectionInfo",
    "Counter",
    "Error",
    "Fault",
    "FilterError",
    "Gauge",
    "Headers",
    "Histogram",
    "HttpFilter",
    "Info",
    "Metadata",
    "NativeFilter",
    "NetworkFilter",
    "Proxy",
    "RawHeaders",
    "Request",
    "Response",
    "Status",
    "Stream",
    "StreamGone",
    "TlsInfo",
    "TlsPeer",
    "WrongThread",
    "options",
]


def __getattr__(name: str) -> Any:
    if name == "Config":
        from moebridge.filter_config import Config

        return Config
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
