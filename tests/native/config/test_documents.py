"""The documents of the C tests are what moebridge.config would send now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

HERE = Path(__file__).resolve().parent


def test_documents_follow_the_model() -> None:
    spec = importlib.util.spec_from_file_location("make_documents", HERE / "make_documents.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stale = [path.name for path, want in module.files().items() if path.read_bytes() != want]
    assert not stale, (
        "the model has changed: run tests/native/config/make_documents.py, then fix the core's"
        " reader (native/config) where its tests fail"
    )
