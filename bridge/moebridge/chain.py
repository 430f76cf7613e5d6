"""What stands in `filters=[...]`: Python filters, C filters, and their options.

What reads configurations is imported when it is needed, as in proxy.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from moebridge.errors import ConfigError
from moebridge.filter_base import Filter as PythonFilter

if TYPE_CHECKING:
    from moebridge.config.model import FilterOptions, HttpFilter

__all__ = ["NativeFilter", "options"]

F = TypeVar("F", "PythonFilter", "NativeFilter")


class NativeFilter:
    """A filter written in C, in the chain of `mb.Proxy`.

    Args:
        name: a built-in filter (`basic_auth`, `body_scan`, `grpc_web`, `header_mutation`), or what
            the library calls it.
        config: its configuration; for `basic_auth` and `header_mutation` Envoy's message.
        library: a shared library with the filter ABI, a path or a name that the loader finds;
            None = built in.
        network: a filter of connections instead of HTTP streams.

    Raises:
        ConfigError: no such built-in filter, or its configuration is wrong.
    """

    def __init__(
        self,
        name: str,
        config: Mapping[str, Any] | None = None,
        *,
        library: str | None = None,
        network: bool = False,
    ) -> None:
        from moebridge.config.filter_spec import native_filter

        if network and library is None:
            raise ConfigError(f"NativeFilter({name!r}): no network filter is built in")
        self._place = native_filter(name, config, library=library)
        self.network = network
        self._options: FilterOptions | None = None

    def __repr__(self) -> str:
        return f"<NativeFilter {self._place.filter!r}>"

    @property
    def model(self) -> HttpFilter:
        """Its place in the model's chain."""
        if self._options is None:
            return self._place
        import msgspec

        return msgspec.structs.replace(self._place, name=self._options.name, options=self._options)


def options(
    filter: F,  # noqa: A002  (the contract's name)
    /,
    *,
    on_error: Literal["fail_closed", "fail_open"] | None = None,
    hook_timeout_s: float | None = None,
    name: str | None = None,
) -> F:
    """Says how a filter of `filters=[...]` is run.

    Args:
        filter: the filter's object.
        on_error: what an exception in a hook does: `fail_closed` (default) answers 500 or resets
            the stream, `fail_open` skips the filter for the rest of the stream.
        hook_timeout_s: the longest an async hook may stay suspended; default no bound.
        name: its name in logs and statistics; default the class's.

    Returns:
        The same object.

    Raises:
        ConfigError: a wrong value, or one that a C filter does not have.
    """
    from moebridge.config.faults import ROOT, Faults
    from moebridge.config.filter_options import read_options

    given = {"on_error": on_error, "hook_timeout_s": hook_timeout_s, "name": name}
    given = {key: value for key, value in given.items() if value is not None}
    faults = Faults()
    if isinstance(filter, NativeFilter):
        default = filter._place.filter
        for key in given:
            if key != "name":
                faults.add((ROOT, key), "only Python filters have this option")
    else:
        default = type(filter).__name__
    found = read_options(faults, ROOT, given, default)
    if faults.count:
        raise ConfigError(faults.list())
    filter._options = found
    return filter
