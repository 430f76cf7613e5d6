"""Configuration: Envoy's file or plain objects, checked and lowered to one typed model."""

from moebridge.config.access_log_format import DEFAULT_FORMAT, FormatError, parse_format
from moebridge.config.filter_spec import (
    native_filter,
    parse_filter_spec,
    python_filter,
    unique_names,
)
from moebridge.config.load import load, load_text
from moebridge.config.model import MODEL_VERSION, Config, FilterOptions, HttpFilter, decode, encode
from moebridge.config.simple import CLUSTER_NAME, LISTENER_NAME, SimpleOptions, build_simple

__all__ = [
    "CLUSTER_NAME",
    "DEFAULT_FORMAT",
    "LISTENER_NAME",
    "MODEL_VERSION",
    "Config",
    "FilterOptions",
    "FormatError",
    "HttpFilter",
    "SimpleOptions",
    "build_simple",
    "decode",
    "encode",
    "load",
    "load_text",
    "native_filter",
    "parse_filter_spec",
    "parse_format",
    "python_filter",
    "unique_names",
]
