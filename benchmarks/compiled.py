"""Filters compiled with Cython: the same file as the interpreter runs, with moebridge's types."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["compile_filters", "load_compiled"]

_SOURCE = Path(__file__).with_name("filters.py")
_NAME = "compiled_filters"


def compile_filters(folder: Path) -> Path:
    """Compiles filters.py into a folder; returns the extension module."""
    from Cython.Build import cythonize
    from setuptools import Distribution

    source = folder / f"{_NAME}.py"
    source.write_text(_SOURCE.read_text())
    source.with_suffix(".pxd").write_text("cimport moebridge as mb\n")
    with contextlib.redirect_stdout(io.StringIO()):
        build: Any = cythonize  # it has no types
        modules = build([str(source)], language_level=3, quiet=True)
    modules[0].name = _NAME  # not that of a package which the folder might lie in
    command = Distribution({"ext_modules": modules}).get_command_obj("build_ext")
    command.build_lib = command.build_temp = str(folder)
    command.ensure_finalized()
    command.run()
    return folder / f"{_NAME}{sysconfig.get_config_var('EXT_SUFFIX')}"


def load_compiled(path: Path) -> ModuleType:
    """Imports what `compile_filters` made."""
    spec = importlib.util.spec_from_file_location(_NAME, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
