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


def compile_filters(source: Path, folder: Path) -> Path:
    """Compiles a file of filters; needs Cython and a C compiler.

    Args:
        source: `NAME.py`.
        folder: for what is made.

    Returns:
        the extension module, `compiled_NAME`.
    """
    from Cython.Build import cythonize
    from setuptools import Distribution

    name = f"compiled_{source.stem}"
    copy = folder / f"{name}.py"
    copy.write_text(source.read_text())
    copy.with_suffix(".pxd").write_text("cimport moebridge as mb\n")
    with contextlib.redirect_stdout(io.StringIO()):
        build: Any = cythonize  # it has no types
        modules = build([str(copy)], language_level=3, quiet=True)
    modules[0].name = name  # not that of a package which the folder might lie in
    command = Distribution({"ext_modules": modules}).get_command_obj("build_ext")
    command.build_lib = command.build_temp = str(folder)
    command.ensure_finalized()
    command.run()
    return folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"


def load_compiled(extension: Path) -> ModuleType:
    """Imports what `compile_filters` made."""
    spec = importlib.util.spec_from_file_location(extension.name.partition(".")[0], extension)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
