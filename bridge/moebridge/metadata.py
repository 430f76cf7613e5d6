"""Dynamic metadata of a stream: values under (namespace, key), shared by all filters.

Native filters and the access log see the same values (`%DYNAMIC_METADATA(space:key)%`).
"""

from __future__ import annotations

from typing import Any

import msgpack  # type: ignore[import-untyped]

__all__ = ["Metadata"]


class Metadata:
    """Dynamic metadata. Values: None, bool, int, float, str, bytes, list, dict (as msgpack).

    Example:
        stream.metadata.set("auth", "user", "ann")
        stream.metadata.get("auth", "user")
        stream.metadata["auth"]            # {"user": "ann"}
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def get(self, space: str, key: str | None = None, default: Any = None) -> Any:
        """Returns a value, or without key the whole namespace as dict; `default` if absent."""
        frozen = self._stream._metadata_frozen()
        if frozen is not None:
            values = frozen.get(_name(space, "namespace").decode())
            if values is None or key is None:
                return default if values is None else values
            return values.get(key, default)
        wanted = b"" if key is None else _name(key, "key")
        packed = self._stream._metadata_get(_name(space, "namespace"), wanted)
        return default if packed is None else unpack(packed)

    def set(self, space: str, key: str, value: Any) -> None:
        """Sets a value.

        Raises:
            TypeError: msgpack cannot pack it.
            ValueError: an integer of more than 64 bits, or too deep.
        """
        name = (_name(space, "namespace"), _name(key, "key"))
        try:
            packed = msgpack.packb(value)
        except TypeError as error:
            raise TypeError(f"metadata {space}:{key}: {error}") from None
        except (ValueError, OverflowError, RecursionError) as error:
            raise ValueError(f"metadata {space}:{key}: {error}") from None
        self._stream._metadata_set(*name, packed)

    def __getitem__(self, space: str) -> dict[str, Any]:
        values = self.get(space)
        if values is None:
            raise KeyError(space)
        found: dict[str, Any] = values
        return found

    def __contains__(self, space: object) -> bool:
        return isinstance(space, str) and bool(space) and self.get(space) is not None


def _name(text: object, what: str) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"metadata: a {what} is str, not {type(text).__name__}")
    if not text:
        raise ValueError(f"metadata: the {what} is empty")
    return text.encode()


def unpack(packed: bytes) -> Any:
    """Returns the value of one msgpack document."""
    return msgpack.unpackb(packed, strict_map_key=False)
