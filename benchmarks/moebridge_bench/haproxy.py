"""HAProxy: plain, and with actions in Lua."""

from __future__ import annotations

from pathlib import Path

from .peer import HEADERS, Peer, Process, Setup, free_port, needs, new_folder

__all__ = ["PEERS", "SETTINGS"]

SETTINGS = {
    "haproxy": "1 thread; keep-alive on both sides, http-reuse always; no log; one certificate, "
    "ALPN http/1.1, where there is TLS; all else as it is by default",
    "haproxy+lua": "an http-request and an http-response action in Lua (5.3) that each set a "
    "header by txn.http",
}
_LUA = "".join(
    f'core.register_action("set_{short}", {{"http-{short}"}}, function(txn)\n'
    f'  txn.http:{short}_set_header("{name}", "set")\n'
    "end)\n"
    for short, name in zip(("req", "res"), HEADERS, strict=True)
)
_ACTIONS = "  http-request lua.set_req\n  http-response lua.set_res\n"


def _start(setup: Setup, *, lua: bool = False) -> Process:
    folder = new_folder()
    root = Path(folder.name)
    address = f"127.0.0.1:{free_port()}"
    bind = {"h1": "", "h2": " proto h2", "tls": f" ssl crt {root}/both.pem alpn http/1.1"}
    if setup.certificate is not None:
        files = (setup.certificate.chain, setup.certificate.key)
        (root / "both.pem").write_text("".join(file.read_text() for file in files))
    (root / "set.lua").write_text(_LUA)
    load = f"  lua-load {root}/set.lua\n" if lua else ""
    (root / "haproxy.cfg").write_text(
        f"global\n  nbthread 1\n  maxconn {setup.connections + 1000}\n{load}"
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n"
        "  timeout http-keep-alive 1h\n"
        f"frontend clients\n  bind {address} backlog 4096{bind[setup.protocol]}\n"
        f"{_ACTIONS if lua else ''}"
        "  default_backend up\n"
        f"backend up\n  http-reuse always\n  server up {setup.upstream}\n"
    )
    command = [setup.tools.path("haproxy"), "-db", "-f", str(root / "haproxy.cfg")]
    return Process(command, folder=folder).wait_for(address)


PEERS = (
    Peer(name="haproxy", title="HAProxy", start=_start, missing=needs("haproxy")),
    Peer(
        name="haproxy+lua",
        title="HAProxy, Lua actions: one header on request and response",
        start=lambda setup: _start(setup, lua=True),
        missing=needs("haproxy"),
        sets_headers=True,
    ),
)
