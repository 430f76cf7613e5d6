"""mTLS: who is let in, and what filters, logs and upstreams are told of them."""

from __future__ import annotations

import datetime as dt
import http.client
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import moebridge as mb

from ..support.certificates import Authority
from ..support.upstream import Upstream
from .conftest import (
    ROUTER,
    Starter,
    ask,
    bootstrap,
    client_context,
    of_files,
    seen,
    trust,
    wait_for,
)

CLIENT = "spiffe://test/ns/one"


def mutual(authority: Authority, **validation: Any) -> dict[str, Any]:
    """A DownstreamTlsContext that asks for a certificate of the authority."""
    return {
        "common_tls_context": {
            "tls_certificates": [of_files(authority.issue("a.test", "spiffe://test/server"))],
            **trust(authority, validation=validation),
        },
        "require_client_certificate": True,
    }


def refused(proxy: mb.Proxy, context: ssl.SSLContext) -> bool:
    """TLS 1.3 tells the client with the first read."""
    try:
        ask(proxy.addresses["main"], context)
    except (ssl.SSLError, ConnectionError):
        return True
    return False


def test_clients_without_a_good_certificate_are_refused(
    authority: Authority, upstream: Upstream, start: Starter, tmp_path: Path
) -> None:
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    other = Authority(other_folder, "other authority")
    revoked = authority.issue("spiffe://test/revoked", client=True)
    crl = authority.revoke(revoked)
    proxy = start(
        bootstrap(upstream.address, downstream=mutual(authority, crl={"filename": str(crl)}))
    )
    good = authority.issue(CLIENT, client=True, file="good")
    assert ask(proxy.addresses["main"], client_context(authority, good)).status == 200
    assert refused(proxy, client_context(authority))
    assert wait_for(proxy, "listener.main.ssl.fail_verify_no_cert") == 1
    bad = [
        authority.issue(CLIENT, client=True, file="expired", days=(-5, -1)),
        authority.issue(CLIENT, client=True, file="early", days=(1, 5)),
        other.issue(CLIENT, client=True, file="stranger"),
        authority.issue(CLIENT, client=False, file="wrong-use"),
        revoked,
    ]
    for number, certificate in enumerate(bad, 1):
        assert refused(proxy, client_context(authority, certificate))
        assert wait_for(proxy, "listener.main.ssl.fail_verify_error", number) == number
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("matcher", "let_in"),
    [
        ({"exact": CLIENT}, True),
        ({"prefix": "spiffe://test/"}, True),
        ({"suffix": "/one"}, True),
        ({"contains": "/ns/"}, True),
        ({"safe_regex": {"regex": "spiffe://[a-z]+/ns/one"}}, True),
        ({"exact": "spiffe://test/ns/two"}, False),
        ({"safe_regex": {"regex": "/ns/one"}}, False),
    ],
)
def test_names_are_matched(
    authority: Authority,
    upstream: Upstream,
    start: Starter,
    matcher: dict[str, Any],
    let_in: bool,
) -> None:
    sans = [{"san_type": "URI", "matcher": matcher}]
    proxy = start(
        bootstrap(
            upstream.address, downstream=mutual(authority, match_typed_subject_alt_names=sans)
        )
    )
    context = client_context(authority, authority.issue(CLIENT, client=True, file="client"))
    assert refused(proxy, context) is not let_in
    if not let_in:
        assert wait_for(proxy, "listener.main.ssl.fail_verify_san") == 1


def test_pinned_hash_stands_by_itself(
    authority: Authority, upstream: Upstream, start: Starter
) -> None:
    known = authority.issue(CLIENT, client=True, file="known")
    context = mutual(authority)
    context["common_tls_context"]["validation_context"] = {
        "verify_certificate_hash": [known.sha256]
    }
    proxy = start(bootstrap(upstream.address, downstream=context))
    assert not refused(proxy, client_context(authority, known))
    stranger = authority.issue(CLIENT, client=True, file="stranger")
    assert refused(proxy, client_context(authority, stranger))
    assert wait_for(proxy, "listener.main.ssl.fail_verify_cert_hash") == 1


FORGED = "x-forwarded-client-cert: By=forged\r\n"


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ("SANITIZE", ""),
        ("FORWARD_ONLY", "By=forged"),
        ("APPEND_FORWARD", "By=forged,{own}"),
        ("SANITIZE_SET", "{own}"),
        ("ALWAYS_FORWARD_ONLY", "By=forged"),
    ],
)
def test_upstream_is_told_of_the_certificate(
    authority: Authority, upstream: Upstream, start: Starter, details: str, expected: str
) -> None:
    proxy = start(
        bootstrap(
            upstream.address,
            downstream=mutual(authority),
            hcm={
                "forward_client_cert_details": details,
                "set_current_client_cert_details": {"subject": True, "uri": True, "dns": True},
            },
        )
    )
    client = authority.issue(CLIENT, "one.test", client=True, file="client")
    ask(proxy.addresses["main"], client_context(authority, client), headers=FORGED)
    own = (
        f'By=spiffe://test/server;Hash={client.sha256};Subject="CN={CLIENT}";'
        f"URI={CLIENT};DNS=one.test"
    )
    assert seen(upstream, "x-forwarded-client-cert") == [expected.format(own=own)]


def test_certificate_itself_is_forwarded_encoded(
    authority: Authority, upstream: Upstream, start: Starter
) -> None:
    proxy = start(
        bootstrap(
            upstream.address,
            downstream=mutual(authority),
            hcm={
                "forward_client_cert_details": "SANITIZE_SET",
                "set_current_client_cert_details": {"cert": True, "chain": True},
            },
        )
    )
    client = authority.issue(CLIENT, client=True, file="client")
    ask(proxy.addresses["main"], client_context(authority, client))
    pem = quote(client.pem, safe="-._~")
    root = quote(authority.file.read_text("ascii"), safe="-._~")  # Python's client sends it too
    (value,) = seen(upstream, "x-forwarded-client-cert")
    assert value.endswith(f'Hash={client.sha256};Cert="{pem}";Chain="{pem}{root}"')


def test_without_a_certificate_nobody_may_speak_of_one(
    authority: Authority, upstream: Upstream, start: Starter
) -> None:
    for details, expected in (("APPEND_FORWARD", ""), ("ALWAYS_FORWARD_ONLY", "By=forged")):
        proxy = start(
            bootstrap(
                upstream.address,
                downstream={
                    "common_tls_context": {
                        "tls_certificates": [of_files(authority.issue("a.test"))]
                    }
                },
                hcm={"forward_client_cert_details": details},
            )
        )
        ask(proxy.addresses["main"], client_context(authority), headers=FORGED)
        assert seen(upstream, "x-forwarded-client-cert")[-1] == expected


def test_filters_and_logs_know_it(authority: Authority, upstream: Upstream, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    operators = (
        "%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER% %REQUESTED_SERVER_NAME%"
        " %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_ISSUER% %DOWNSTREAM_PEER_SERIAL%"
        " %DOWNSTREAM_PEER_FINGERPRINT_256% %DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_LOCAL_SUBJECT%\n"
    )
    file_log = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    module = "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3"
    filters = [
        {
            "name": "teller",
            "typed_config": {
                "@type": f"{module}.DynamicModuleFilter",
                "dynamic_module_config": {"name": "moebridge"},
                "filter_name": f"{Path(__file__).with_name('filters.py')}:Teller",
            },
        },
        {"name": "router", "typed_config": {"@type": ROUTER}},
    ]
    config = bootstrap(
        upstream.address,
        downstream=mutual(authority),
        hcm={
            "http_filters": filters,
            "access_log": [
                {
                    "name": "file",
                    "typed_config": {
                        "@type": file_log,
                        "path": str(log),
                        "log_format": {"text_format_source": {"inline_string": operators}},
                    },
                }
            ],
        },
    )
    client = authority.issue(CLIENT, "one.test", client=True, file="client")
    proxy = mb.Proxy.from_config(config)
    proxy.start()
    try:
        got = ask(proxy.addresses["main"], client_context(authority, client))
    finally:
        proxy.stop()
    serial = f"{client.x509.serial_number:x}"
    serial = serial.zfill(len(serial) + len(serial) % 2)
    until = client.x509.not_valid_after_utc.astimezone(dt.UTC)
    assert got.body.decode().split("\n") == [
        *("TLSv1.3", "a.test", "-", "False", f"CN={CLIENT}", "CN=test authority", serial),
        *(client.sha256, CLIENT, "one.test", "True", str(until)),
    ]
    assert log.read_text("utf-8").split("\n")[0] == (
        f"TLSv1.3 TLS_AES_128_GCM_SHA256 a.test CN={CLIENT} CN=test authority {serial}"
        f" {client.sha256} {CLIENT} CN=a.test"
    )


def test_clear_text_is_sent_to_https_where_it_is_required(
    upstream: Upstream, start: Starter
) -> None:
    proxy = start(bootstrap(upstream.address, host={"require_tls": "ALL"}))

    connection = http.client.HTTPConnection(proxy.addresses["main"], timeout=10)
    connection.request("GET", "/x?y=1", headers={"host": "a.test"})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("location")) == (301, "https://a.test/x?y=1")
    connection.close()
    assert not upstream.requests
