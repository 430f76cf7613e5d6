"""The command: what it says, with which status it ends, and never a traceback."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from pathlib import Path

import pytest

from ..support.client import RawClient, fetch
from ..support.command import Command, run_command
from ..support.upstream import Exchange, Upstream

README_FILTER = '''
import moebridge as mb

class ApiKey(mb.HttpFilter):
    """Let only known keys through."""

    class Config(mb.Config):                 # typed; checked when the configuration loads
        keys: dict[str, str]
        header: str = "x-api-key"

    config: Config

    def on_request_headers(self, stream: mb.Stream) -> mb.Status | None:
        user = self.config.keys.get(stream.request.headers.get(self.config.header, ""))
        if user is None:
            return stream.respond(401, body=b"unknown key\\n")
        stream.request.headers["x-user"] = user
        return None
'''
FILE = """
static_resources:
  listeners:
  - name: web
    address: {socket_address: {address: 127.0.0.1, port_value: PORT}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /partner}
                direct_response: {status: 200, body: {inline_string: partner}}
                typed_per_filter_config:
                  key:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute
                    dynamic_module_config: {name: moebridge}
                    per_route_config_name: OVERRIDE
                    filter_config:
                      "@type": type.googleapis.com/google.protobuf.Struct
                      value: {keys: {partner: bob}}
              - match: {prefix: /}
                direct_response: {status: 200, body: {inline_string: all}}
          http_filters:
          - name: key
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter
              dynamic_module_config: {name: moebridge}
              filter_name: NAME
              filter_config:
                "@type": type.googleapis.com/google.protobuf.Struct
                value: CONFIG
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
"""  # noqa: E501
MANAGER = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config"
NAME = f"{MANAGER}.http_filters[0].typed_config.filter_name"
OVERRIDE = f'{MANAGER}.route_config.virtual_hosts[0].routes[0].typed_per_filter_config["key"]'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(README_FILTER)
    (tmp_path / "bad.py").write_text(
        "import moebridge as mb\n"
        "class NoFilter: pass\n"
        "class Raises(mb.HttpFilter):\n"
        "    def on_load(self): raise ValueError('no table')\n"
        "class Wrong(mb.HttpFilter):\n"
        "    def __init__(self, **config): raise TypeError('why')\n"
    )
    (tmp_path / "syntax.py").write_text("def (\n")
    (tmp_path / "raises.py").write_text("x = 1\nraise RuntimeError('two\\nlines')\n")
    (tmp_path / "exits.py").write_text("import sys\nsys.exit('bye')\n")
    (tmp_path / "imports.py").write_text("import no_such_module_of_anybody\n")
    return tmp_path


def write(
    folder: Path,
    *,
    name: str = "f.py:ApiKey",
    config: str = "{keys: {s3cret: ann}}",
    override: str = "f.py:ApiKey",
    port: int = 0,
) -> Path:
    text = FILE.replace("OVERRIDE", override).replace("NAME", name).replace("CONFIG", config)
    path = folder / "envoy.yaml"
    path.write_text(text.replace("PORT", str(port)))
    return path


def test_filter_of_the_readme_runs(folder: Path, upstream: Upstream) -> None:
    spec = 'f.py:ApiKey={"keys": {"s3cret": "ann"}}'
    args = ["--listen", "127.0.0.1:0", "--upstream", upstream.address, "--filter", spec]
    with Command("run", *args, cwd=folder) as command:
        assert fetch(command.address).body == b"unknown key\n"
        assert fetch(command.address, fields=[("x-api-key", "s3cret")]).status == 200
        assert command.terminate() == 0
    assert upstream.requests[0].getall("x-user") == ["ann"]
    assert [line for line in command.lines if line.startswith("listening main http://127.0.0.1:")]


def test_chain_of_the_command_line(folder: Path, upstream: Upstream) -> None:
    specs = ['api_key={"keys": {"k": "ann"}}', 'native:body_scan={"pattern": "x"}']
    args = [word for spec in specs for word in ("--filter", spec)]
    listen = ["--listen", "[::1]:0", "--upstream", f"{upstream.address},{upstream.address}"]
    with Command("run", *listen, *args, cwd=folder) as command:
        assert command.address.startswith("[::1]:")
        assert fetch(command.address).status == 401
        assert fetch(command.address, fields=[("x-api-key", "k")]).status == 200
        assert command.terminate() == 0


def test_file_with_a_filter_and_an_override(folder: Path) -> None:
    # From elsewhere: f.py is beside the file.
    with Command("run", "-c", str(write(folder)), cwd=Path("/")) as command:
        key, partner = [("x-api-key", "s3cret")], [("x-api-key", "partner")]
        assert fetch(command.address, fields=key).body == b"all"
        assert fetch(command.address, "/partner", fields=partner).body == b"partner"
        assert fetch(command.address, fields=partner).status == 401
        assert fetch(command.address, "/partner", fields=key).status == 401
        assert list(command.addresses) == ["web"]
        assert command.terminate() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_and_exits_0(upstream: Upstream, number: signal.Signals) -> None:
    begun, gate = threading.Event(), threading.Event()

    async def slow(exchange: Exchange) -> None:
        begun.set()
        await asyncio.to_thread(gate.wait, 20)
        await exchange.respond(200, [], b"late")

    upstream.handler = slow
    args = ["--listen", "127.0.0.1:0", "--upstream", upstream.address]
    with Command("run", *args) as command, RawClient(command.address) as client:
        client.start()
        assert begun.wait(10)
        command.process.send_signal(number)
        gate.set()
        response = client.read_response()
        assert (response.status, response.body) == (200, b"late")
        assert command.wait() == 0


def test_second_signal_ends_the_drain(upstream: Upstream) -> None:
    begun = threading.Event()

    async def never(exchange: Exchange) -> None:
        begun.set()
        await exchange.reader.read()

    upstream.handler = never
    args = ["--listen", "127.0.0.1:0", "--upstream", upstream.address]
    with Command("run", *args) as command, RawClient(command.address) as client:
        client.start()
        assert begun.wait(10)
        command.process.send_signal(signal.SIGTERM)
        wait_until_refused(command.address)  # the first signal was seen
        command.process.send_signal(signal.SIGTERM)
        assert command.wait() == 0


def wait_until_refused(address: str) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            RawClient(address).close()


BAD_FILTERS = [
    ("f.py:ApiKey", "--filter f.py:ApiKey: keys: is required"),
    ('f.py:ApiKey={"keys": 3}', "--filter f.py:ApiKey: keys: expected object, got int"),
    ('f.py:ApiKey={"keys": {}, "kyes": 1}', "--filter f.py:ApiKey: kyes: unknown field"),
    ("f.py:ApiKeys", '--filter f.py:ApiKeys: f.py has no "ApiKeys" (did you mean ApiKey?)'),
    ("none.py:X", '--filter none.py:X: no file "none.py" in '),
    ("no_such:X", '--filter no_such:X: no module "no_such": is it installed'),
    ("os.path:join", "--filter os.path:join: join is a function that is no filter"),
    ("bad.py:NoFilter", "--filter bad.py:NoFilter: NoFilter is a class that is no filter"),
    ("moebridge:HttpFilter", "--filter moebridge:HttpFilter: this is the base of all filters"),
    ("bad.py:Raises", "--filter bad.py:Raises: on_load of Raises raised ValueError: no table"),
    ("bad.py:Wrong", "--filter bad.py:Wrong: Wrong() raised TypeError: why"),
    ("syntax.py:X", "--filter syntax.py:X: syntax.py raised SyntaxError: "),
    ("raises.py:X", "--filter raises.py:X: raises.py line 2 raised RuntimeError: two lines"),
    ("exits.py:X", "--filter exits.py:X: exits.py line 2 raised SystemExit: bye"),
    ("imports.py:X", "--filter imports.py:X: imports.py line 1 raised ModuleNotFoundError: "),
    ("api_kye", "--filter api_kye: no installed filter has this name (did you mean api_key?)"),
    ("native:body_scam", '--filter native:body_scam: no built-in filter "body_scam" (did you mean'),
    ("native:basic_auth={}", "--filter native:basic_auth: config.users: is required"),
    ("f.py:ApiKey={", "--filter f.py:ApiKey: after = must stand JSON"),
    ("f.py:", "--filter f.py:: expected MODULE:CLASS"),
    ('f.py:ApiKey={"keys": {}, "@moebridge": {"on_error": "x"}}', "--filter f.py:ApiKey: "),
]


@pytest.mark.parametrize(("spec", "line"), BAD_FILTERS)
def test_wrong_filter_is_one_line_and_exit_2(folder: Path, spec: str, line: str) -> None:
    args = ["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:9", "--filter", spec]
    done = run_command("run", *args, cwd=folder)
    assert done.stderr.startswith(line)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


BAD_FILES = [
    ({"name": "f.py:ApiKeys"}, f'{NAME}: "f.py:ApiKeys": f.py has no "ApiKeys"'),
    ({"name": "no_such:X", "override": "''"}, f'{NAME}: "no_such:X": no module "no_such"'),
    ({"name": "bad.py:NoFilter", "override": "''"}, f'{NAME}: "bad.py:NoFilter": NoFilter is'),
    ({"name": "bad.py:Raises", "config": "{}"}, f"{NAME}: on_load of Raises raised ValueError"),
    (
        {"config": "{keys: {s: 1}}"},
        f"{MANAGER}.http_filters[0].typed_config.filter_config.value.keys",
    ),
    (
        {"config": "{keys: {}, headers: x}"},
        f"{MANAGER}.http_filters[0].typed_config.filter_config.value.headers: unknown field",
    ),
    ({"override": "f.py:None"}, f"{OVERRIDE}.per_route_config_name: "),
    ({"override": "moebridge_plugins.redact:Redact"}, f"{OVERRIDE}.filter_config.value.keys"),
    ({"config": "3"}, f"{MANAGER}.http_filters[0].typed_config.filter_config.value: "),
]


@pytest.mark.parametrize(("change", "line"), BAD_FILES)
@pytest.mark.parametrize("command", ["run", "validate"])
def test_wrong_file_names_file_and_field(
    folder: Path, command: str, change: dict[str, str], line: str
) -> None:
    write(folder, **change)  # type: ignore[arg-type]
    done = run_command(command, "-c", "envoy.yaml", cwd=folder)
    assert done.stderr.startswith(f"envoy.yaml: {line}"), done.stderr
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert all(text.startswith("envoy.yaml: ") for text in done.stderr.splitlines())


def test_faults_of_all_filters_are_reported_at_once(folder: Path) -> None:
    write(folder, name="f.py:None1", override="f.py:None2")
    done = run_command("validate", "-c", "envoy.yaml", cwd=folder)
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [
        NAME,
        f"{OVERRIDE}.per_route_config_name",
    ]


def test_valid_file_is_one_line_and_exit_0(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:  # nothing is bound
        write(folder, port=taken.getsockname()[1])
        done = run_command("validate", "-c", "envoy.yaml", cwd=folder)
    assert done.stdout == "envoy.yaml: valid (listeners: 1, clusters: 0, filters: 1)\n"
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["run", "validate"])
def test_what_only_the_core_can_judge(folder: Path, command: str) -> None:
    path = write(folder)
    text = path.read_text().replace("{prefix: /partner}", 'safe_regex: {regex: "/(a"}')
    path.write_text(text.replace("- match: safe_regex", "- match:\n                  safe_regex"))
    done = run_command(command, "-c", "envoy.yaml", cwd=folder)
    route = f"{MANAGER}.route_config.virtual_hosts[0].routes[0]"
    assert done.stderr.startswith(f"envoy.yaml: {route}.match."), done.stderr
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_port_in_use_names_the_place(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        write(folder, port=port)
        done = run_command("run", "-c", "envoy.yaml", "--log-level", "off", cwd=folder)
        other = run_command("run", "--listen", f"127.0.0.1:{port}", "--upstream", "127.0.0.1:1")
    what = f"cannot listen on 127.0.0.1:{port}: Address already in use\n"
    path = "static_resources.listeners[0].address"
    assert (done.returncode, done.stderr) == (2, f"envoy.yaml: {path}: {what}")
    assert (other.returncode, other.stderr) == (2, f"--listen: {what}")


def test_unreadable_files(folder: Path) -> None:
    for name, why in (("none.yaml", "No such file or directory"), (".", "Is a directory")):
        for command in ("run", "validate"):
            done = run_command(command, "-c", name, cwd=folder)
            assert (done.returncode, done.stderr) == (2, f"{name}: cannot be read: {why}\n")


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ([], "moebridge: the following arguments are required: COMMAND"),
        (["fly"], "moebridge: argument COMMAND: invalid choice: 'fly'"),
        (["run"], "moebridge: run: --listen is missing; or give a file with -c"),
        (["run", "--listen", "127.0.0.1:0"], "moebridge: run: --upstream is missing"),
        (["run", "-c", "x", "--listen", "y"], "moebridge: run: --listen cannot stand beside -c"),
        (["run", "--listen", "x", "--upstream", "127.0.0.1:1"], "--listen: expected IP:PORT"),
        (["run", "--listen", "127.0.0.1:0", "--upstream", "x"], "--upstream: expected HOST:PORT"),
        (["run", "--workers", "2"], "moebridge: --workers 2: more than one worker does not exist"),
        (["run", "--workers", "x"], "moebridge run: argument --workers: invalid int value: 'x'"),
        (
            ["run", "--admin", "127.0.0.1:0"],
            "moebridge: --admin: the admin listener does not exist",
        ),
        (["run", "--log-level", "loud"], "moebridge run: argument --log-level: invalid choice"),
        (["bench", "--case", "x"], "moebridge: bench: there is no case x; there are small, "),
        (["bench", "--rounds", "0"], "moebridge bench: argument --rounds: 0: expected 1 or more"),
        (["new-filter", "x"], "moebridge: new-filter: this command does not exist yet"),
        (["validate"], "moebridge validate: the following arguments are required: -c/--config"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_2(args: list[str], line: str) -> None:
    done = run_command(*args)
    assert done.stderr.startswith(line)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_version_and_filters() -> None:
    version = run_command("version")
    assert version.stdout.startswith("moebridge 0.")
    assert version.returncode == 0
    listed = run_command("filters")
    names = [line.split()[0] for line in listed.stdout.splitlines()]
    assert names[:6] == "api_key basic_auth body_scan header_mutation llm_usage redact".split()
    assert "native:header_mutation" in names
    assert "cannot be loaded" not in listed.stdout
