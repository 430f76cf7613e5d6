"""moebridge: a proxy data plane you import; a C core that runs filters written in Python."""

from moebridge._backend import Headers, RawHeaders, Request, Response, Stream
from moebridge._dispatch import Buffer, Connection
from moebridge._dispatch import __pyx_capi__ as __pyx_capi__  # what __init__.pxd declares
from moebridge.chain import NativeFilter, options
from moebridge.connection_info import ConnectionInfo
from moebridge.errors import ConfigError, Error, Fault, FilterError, StreamGone, WrongThread
from moebridge.filter import HttpFilter
from moebridge.filter_config import Config
from moebridge.info import Info
from moebridge.metadata import Metadata
from moebridge.metrics import Counter, Gauge, Histogram
from moebridge.network_filter import NetworkFilter
from moebridge.proxy import Proxy
from moebridge.status import Status
from moebridge.tls_info import TlsInfo, TlsPeer

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
