"""What is known about the TLS connection of a stream's client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import datetime as dt

__all__ = ["TlsInfo", "TlsPeer"]

#: Numbers of mb_info (filter.h): those that exist for TLS only.
TLS_NUMBERS: Final = {"session_reused": 27, "verified": 28, "not_before": 35, "not_after": 36}
TLS_TEXTS: Final = {
    "version": 21,
    "cipher": 24,
    "alpn": 25,
    "sni": 26,
    "subject": 29,
    "issuer": 30,
    "serial": 31,
    "sha256": 32,
    "uri_sans": 33,
    "dns_sans": 34,
}


class TlsPeer:
    """The certificate that the client has shown, read when first asked for."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def _text(self, name: str) -> str:
        text: str | None = self._stream._info_text(TLS_TEXTS[name])
        return text or ""

    def _names(self, name: str) -> list[str]:
        text = self._text(name)
        return text.split(",") if text else []

    def _time(self, name: str) -> dt.datetime:
        import datetime as dt

        seconds: int | None = self._stream._info_number(TLS_NUMBERS[name])
        return dt.datetime.fromtimestamp(seconds or 0, dt.UTC)

    @property
    def verified(self) -> bool:
        """It passed every check; false where the configuration asks for none."""
        return bool(self._stream._info_number(TLS_NUMBERS["verified"]))

    @property
    def subject(self) -> str:
        """RFC 2253: "CN=client,O=example"."""
        return self._text("subject")

    @property
    def issuer(self) -> str:
        """RFC 2253."""
        return self._text("issuer")

    @property
    def serial(self) -> str:
        """Lower-case hex."""
        return self._text("serial")

    @property
    def sha256(self) -> str:
        """Fingerprint of the certificate, lower-case hex."""
        return self._text("sha256")

    @property
    def uri_sans(self) -> list[str]:
        """Its URIs; characters that are not visible, and commas, percent-encoded."""
        return self._names("uri_sans")

    @property
    def dns_sans(self) -> list[str]:
        """Its DNS names, written in the same way."""
        return self._names("dns_sans")

    @property
    def not_before(self) -> dt.datetime:
        """Valid from; UTC."""
        return self._time("not_before")

    @property
    def not_after(self) -> dt.datetime:
        """Valid until; UTC."""
        return self._time("not_after")


class TlsInfo:
    """The client's TLS connection."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def _text(self, name: str) -> str | None:
        text: str | None = self._stream._info_text(TLS_TEXTS[name])
        return text

    @property
    def version(self) -> str:
        """For example "TLSv1.3"."""
        return self._text("version") or ""

    @property
    def cipher(self) -> str:
        """The suite by OpenSSL's name: "TLS_AES_128_GCM_SHA256"."""
        return self._text("cipher") or ""

    @property
    def alpn(self) -> str | None:
        """The protocol that was agreed on ("h2"); None: none was."""
        return self._text("alpn")

    @property
    def sni(self) -> str | None:
        """The server name that the client asked for; None: it asked for none."""
        return self._text("sni")

    @property
    def session_reused(self) -> bool:
        """An earlier session was resumed."""
        return bool(self._stream._info_number(TLS_NUMBERS["session_reused"]))

    @property
    def peer(self) -> TlsPeer | None:
        """The client's certificate; None: it has shown none."""
        if self._stream._info_number(TLS_NUMBERS["verified"]) is None:
            return None
        return TlsPeer(self._stream)
