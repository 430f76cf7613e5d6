"""From a filter's name to its class, and from its configuration to an object.

A name is `module:Class`, `file.py:Class`, or an entry point of group `moebridge.filters`. Whatever
goes wrong is a ConfigError of one line: user code that raises while it is imported, too.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import types
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from moebridge.config.faults import nearest, quoted
from moebridge.errors import ConfigError, Fault
from moebridge.filter import HttpFilter
from moebridge.filter_base import Filter
from moebridge.network_filter import NetworkFilter

__all__ = ["GROUP", "FilterLoader", "in_one_line", "installed"]

#: Entry points of this group are filters.
GROUP = "moebridge.filters"


class _Failed(Exception):
    """The class cannot be had; the message says why."""


def installed() -> dict[str, str]:
    """Returns the filters of installed packages: entry-point name -> `module:Class`."""
    return {point.name: point.value for point in sorted(entry_points(group=GROUP))}


def in_one_line(error: BaseException) -> str:
    """`Type: message` of an exception, with the place of a syntax error, in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class FilterLoader:
    """Finds classes and makes objects for one configuration.

    A file is executed once for each FilterLoader, so that a reload sees what was changed in it;
    a module is imported as Python does it, once for each process.

    Args:
        folders: where `file.py` is looked for, in this order.
    """

    def __init__(self, folders: tuple[Path, ...] = ()) -> None:
        self._folders = folders
        self._files: dict[Path, types.ModuleType] = {}

    def make(
        self, target: str, config: Mapping[str, Any], *, name_path: str, config_path: str
    ) -> Filter:
        """Makes a filter's object.

        Args:
            target: the name of its class.
            config: its configuration, plain values.
            name_path: where the name stands, for errors.
            config_path: where the configuration stands.

        Raises:
            ConfigError: with all that is wrong.
        """
        kind = self.find(target, path=name_path)
        try:
            return kind(**config)
        except ConfigError as error:
            faults = [Fault(_join(config_path, f.path), f.message) for f in error.faults]
            raise ConfigError(faults) from None
        except Exception as error:
            raise ConfigError(
                [(config_path, f"{kind.__name__}() raised {in_one_line(error)}")]
            ) from error

    def find(self, target: str, *, path: str = "") -> type[Filter]:
        """Finds a class.

        Raises:
            ConfigError: there is none of that name, its module raises, or it is no filter.
        """
        try:
            return self._find(target)
        except _Failed as failed:
            shown = "" if path.endswith(target) else f"{quoted(target)}: "
            raise ConfigError([(path, f"{shown}{failed}")]) from failed.__cause__

    def _find(self, target: str) -> type[Filter]:
        place, colon, name = target.rpartition(":")
        if not colon:
            known = installed()
            if target not in known:
                there = ", ".join(known) or "none"
                raise _Failed(
                    f"no installed filter has this name{nearest(target, known)} (there are {there}"
                    "); a class is named module:Class or file.py:Class"
                )
            place, _, name = known[target].partition(":")
        if not place or not name:
            raise _Failed("expected module:Class, file.py:Class or the name of an installed filter")
        if place.endswith(".py"):
            found: Any = self._file(place)
        else:
            found = _module(place)
        for step in name.split("."):
            if not hasattr(found, step):
                raise _Failed(f"{place} has no {quoted(name)}{nearest(step, _classes(found))}")
            found = getattr(found, step)
        if not (isinstance(found, type) and issubclass(found, Filter)):
            what = "a class" if isinstance(found, type) else f"a {type(found).__name__}"
            raise _Failed(
                f"{name} is {what} that is no filter: derive it from moebridge.HttpFilter or "
                "moebridge.NetworkFilter"
            )
        if found in (Filter, HttpFilter, NetworkFilter):
            raise _Failed("this is the base of all filters and does nothing: name one of yours")
        return found

    def _file(self, place: str) -> types.ModuleType:
        path = self._locate(place)
        if path not in self._files:
            self._files[path] = _execute(path)
        return self._files[path]

    def _locate(self, place: str) -> Path:
        folders = self._folders or (Path.cwd(),)
        for folder in folders:
            path = (folder / place).resolve()
            if path.is_file():
                return path
        where = " or ".join(dict.fromkeys(str(folder.resolve()) for folder in folders))
        raise _Failed(
            f"no file {quoted(place)}" + ("" if place.startswith("/") else f" in {where}")
        )


def _module(name: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name + ".").startswith(error.name + "."):
            raise _Failed(
                f"no module {quoted(error.name)}: is it installed, or its folder on PYTHONPATH?"
            ) from error
        raise _Failed(f"importing {name} raised {in_one_line(error)}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # user code: SystemExit too
        raise _Failed(f"importing {name} raised {in_one_line(error)}") from error


def _execute(path: Path) -> types.ModuleType:
    """Runs a file as a module of its own; no cached bytecode, whose times are too coarse."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise _Failed(f"{path.name} cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(bytes(str(path), "utf-8", "surrogateescape")).hexdigest()[:8]
    module = types.ModuleType(f"moebridge_file_{digest}_{path.stem}")
    module.__file__ = str(path)
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module  # annotations are looked up there
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if before is not None:
            sys.modules[module.__name__] = before
        else:
            del sys.modules[module.__name__]
        raise _Failed(f"{path.name}{_line_of(error, path)} raised {in_one_line(error)}") from error
    return module


def _line_of(error: BaseException, path: Path) -> str:
    line = 0
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" line {line}" if line else ""


def _classes(found: object) -> list[str]:
    return [name for name, value in vars(found).items() if isinstance(value, type)]


def _join(base: str, path: str) -> str:
    if not base or not path:
        return base or path
    if base.startswith("--"):  # a command line's argument, no place in a document
        return f"{base}: {path}"
    return base + path if path.startswith("[") else f"{base}.{path}"
