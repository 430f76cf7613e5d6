"""nginx: the yardstick, and the upstream behind all proxies."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from .many_routes import HOSTS
from .peer import HEADERS, Peer, Process, Setup, Tools, free_port, needs, new_folder

__all__ = ["PEERS", "SETTINGS", "start_upstream"]

SETTINGS = {
    "nginx": "1 worker; HTTP/1.1 to the upstream with a keep-alive pool; access log off; "
    "keepalive_requests and bodies without bound; all else as it is by default "
    "(proxy_buffering on)",
    "nginx+hosts": "1,000 server blocks by name, each with its upstream block",
    "nginx+lua": "the module of Debian's libnginx-mod-http-lua (LuaJIT): access_by_lua "
    "sets the request's header, header_filter_by_lua the response's",
    "upstream": "nginx, 1 worker, sendfile, no access log",
}
_LUA_MODULE = Path("usr/lib/nginx/modules/ngx_http_lua_module.so")
_SET_BY_DIRECTIVES = (
    f"      proxy_set_header {HEADERS[0]} set;\n      add_header {HEADERS[1]} set;\n"
)


def _start(
    server: str,
    http: str,
    folder: tempfile.TemporaryDirectory[str],
    listen: str = "",
    *,
    main: str = "",
    env: Mapping[str, str] | None = None,
    address: str | None = None,
) -> Process:
    """Starts nginx with a configuration of its own, in a folder of its own."""
    root = Path(folder.name)
    address = address or f"127.0.0.1:{free_port()}"
    temp = "".join(
        f"  {name}_temp_path {root};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (root / "nginx.conf").write_text(
        f"{main}daemon off; master_process on; worker_processes 1;\n"
        f"pid {root}/pid; error_log {root}/error.log crit;\n"
        "worker_rlimit_nofile 65536;\n"
        "events { worker_connections 16384; }\n"
        "http {\n"
        f"{temp}"
        "  client_max_body_size 0; access_log off; sendfile on; keepalive_timeout 3600s;\n"
        "  keepalive_requests 1000000000;\n"
        f"{http}"
        f"  server {{ listen {address} backlog=4096{listen};\n{server}  }}\n"
        "}\n"
    )
    command = ["nginx", "-p", str(root), "-c", str(root / "nginx.conf")]
    return Process(command, folder=folder, env=env).wait_for(address)


def start_upstream(body_bytes: int) -> Process:
    """Starts nginx that gives the same bytes on all paths; `/check` says which header came."""
    folder = new_folder()
    root = Path(folder.name)
    (root / "body").write_bytes((b"0123456789abcdef" * (body_bytes // 16 + 1))[:body_bytes])
    if body_bytes <= 1024:
        body = f'return 200 "{(root / "body").read_text()}";'
    else:
        body = f"root {root}; try_files /body =404;"
    server = (
        "    default_type text/plain;\n"
        f"    location / {{ {body} }}\n"
        f'    location /check {{ add_header x-saw "$http_{HEADERS[0].replace("-", "_")}"; '
        f"{body} }}\n"
    )
    return _start(server, "  open_file_cache max=8;\n", folder)


def _location(upstream: str, change: str = "") -> str:
    return (
        "    location / {\n"
        f"      proxy_pass http://{upstream};\n"
        "      proxy_http_version 1.1;\n"
        '      proxy_set_header Connection "";\n'
        f"{change}"
        "    }\n"
    )


def _upstream(name: str, setup: Setup) -> str:
    return (
        f"  upstream {name} {{ server {setup.upstream}; keepalive {setup.connections * 2}; "
        "keepalive_requests 1000000000; }\n"
    )


def _start_proxy(
    setup: Setup,
    change: str = "",
    *,
    main: str = "",
    http: str = "",
    env: Mapping[str, str] | None = None,
    address: str | None = None,
) -> Process:
    secure = ""
    if setup.certificate is not None:
        files = setup.certificate
        secure = (
            f"    ssl_certificate {files.chain}; ssl_certificate_key {files.key};\n"
            "    ssl_protocols TLSv1.2 TLSv1.3;\n"
        )
    return _start(
        f"{secure}{_location('up', change)}",
        f"{http}{_upstream('up', setup)}",
        new_folder(),
        {"h1": "", "h2": " http2", "tls": " ssl"}[setup.protocol],
        main=main,
        env=env,
        address=address,
    )


def _start_hosts(setup: Setup) -> Process:
    """As many hosts as many_routes.py has, each with an upstream of its own: the same server."""
    address = f"127.0.0.1:{free_port()}"
    http = "  server_names_hash_max_size 4096;\n" + "".join(
        f"{_upstream(f'u{host}', setup)}"
        f"  server {{ listen {address}; server_name h{host}.example;\n{_location(f'u{host}')}  }}\n"
        for host in range(HOSTS)
    )
    return _start_proxy(setup, http=http, address=address)


def _lua_root(tools: Tools) -> Path | None:
    """Where Debian's package of the Lua module lies: installed, or unpacked in the peers' folder.

    It cannot be installed beside Debian's wrk, whose LuaJIT is another.
    """
    unpacked = [] if tools.peers is None else [tools.peers.absolute() / "debian"]
    for root in (*unpacked, Path("/")):
        if (root / _LUA_MODULE).exists():
            return root
    return None


def _lua_missing(tools: Tools) -> str | None:
    return "libnginx-mod-http-lua not installed" if _lua_root(tools) is None else None


def _start_lua(setup: Setup) -> Process:
    root = _lua_root(setup.tools)
    assert root is not None
    modules = root / _LUA_MODULE.parent
    libraries = [
        str(folder) for folder in (*root.glob("lib/*-linux-gnu"), *root.glob("usr/lib/*-linux-gnu"))
    ]
    return _start_proxy(
        setup,
        f'      access_by_lua_block {{ ngx.req.set_header("{HEADERS[0]}", "set") }}\n'
        f'      header_filter_by_lua_block {{ ngx.header["{HEADERS[1]}"] = "set" }}\n',
        main=f"load_module {modules}/ndk_http_module.so;\nload_module {root / _LUA_MODULE};\n",
        http=f'  lua_package_path "{root}/usr/share/lua/5.1/?.lua;;";\n',
        env={"LD_LIBRARY_PATH": ":".join(libraries)},
    )


PEERS = (
    Peer(name="nginx", title="nginx", start=_start_proxy, missing=needs("nginx"), required=True),
    Peer(
        name="nginx+hosts",
        title="nginx, 1,000 hosts, each with an upstream of its own",
        start=_start_hosts,
        missing=needs("nginx"),
    ),
    Peer(
        name="nginx+headers",
        title="nginx, the same two headers by its directives",
        start=lambda setup: _start_proxy(setup, _SET_BY_DIRECTIVES),
        missing=needs("nginx"),
        sets_headers=True,
    ),
    Peer(
        name="nginx+lua",
        title="nginx, LuaJIT: one header on request and response",
        start=_start_lua,
        missing=_lua_missing,
        sets_headers=True,
    ),
)
