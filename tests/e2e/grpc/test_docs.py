"""The example of docs/grpc.md: gRPC and gRPC-Web on one listener."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from tests.e2e.grpc.service import WAIT_S, Calls, Service
from tests.e2e.grpc.test_grpc_web import call, frame

import moebridge as mb

TEXT = Path(__file__).resolve().parents[3] / "docs" / "grpc.md"


def test_example_serves_both(service: Service) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT.read_text("utf-8"), re.DOTALL)
    port = service.address.rpartition(":")[2]
    proxy = mb.Proxy.from_config(
        yaml.safe_load(example.replace("50051", port).replace("8080", "0"))
    )
    proxy.start()
    try:
        with Calls(proxy.addresses["main"]) as calls:
            assert calls.unary(b"a", timeout=WAIT_S) == b"a"
        assert call(proxy, "Unary", frame(b"b")).body.startswith(frame(b"b"))
    finally:
        proxy.stop()
