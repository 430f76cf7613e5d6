"""`moebridge bench`: its arguments, a peer that is missing, and one short measurement."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks.moebridge_bench.peer import Setup
from benchmarks.moebridge_bench.relay import PEERS as RELAY

NEEDED = ("nginx", "wrk", "h2load", "curl", "openssl", "git")


def bench(*args: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "moebridge", "bench", *args],
        env=os.environ | ({} if path is None else {"PATH": str(path)}),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def programs(folder: Path, *names: str) -> Path:
    """A folder for PATH that has these programs and no others."""
    folder.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found is not None, name
        (folder / name).symlink_to(found)
    return folder


def test_help_has_the_options() -> None:
    done = bench("--help")
    assert done.returncode == 0
    for (
        option
    ) in "--quick --case --row --rounds --seconds --out --chart --list --peers-venv".split():
        assert option in done.stdout


def test_help_does_not_import_the_package() -> None:
    probe = (
        "import sys; from moebridge.cli import main\n"
        "try: main(['bench', '--help'])\n"
        "finally: print('moebridge_bench' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_absent_package_is_one_line() -> None:
    probe = (
        "import sys; from moebridge.cli import main\n"
        "sys.path = [path for path in sys.path if not path.endswith('/benchmarks')]\n"
        "sys.exit(main(['bench', '--list']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("moebridge: bench: the package moebridge_bench is not installed")
    assert done.stderr.count("\n") == 1


def test_list_has_each_case_with_its_title() -> None:
    lines = bench("--list").stdout.splitlines()
    names = [line.split()[0] for line in lines]
    assert names[:6] == ["small", "browser", "connections", "body", "h2", "tls"]
    assert all(len(line.split()) > 2 for line in lines)
    assert [line.split()[0] for line in bench("--list", "--quick").stdout.splitlines()] == ["small"]


@pytest.mark.parametrize("kind", ["case", "row"])
def test_unknown_name_is_refused_with_the_known_ones(kind: str) -> None:
    done = bench(f"--{kind}", "fast")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"moebridge: bench: there is no {kind} fast; there are ")
    assert {"case": "connections", "row": "moebridge+python10"}[kind] in done.stderr


def test_program_that_all_need_is_named(tmp_path: Path) -> None:
    done = bench("--quick", path=programs(tmp_path / "bin", "nginx", "curl", "openssl"))
    assert done.returncode == 1
    assert done.stderr == "moebridge bench: needs wrk, h2load: not installed\n"


def test_short_measurement_names_what_is_missing_and_writes_results(tmp_path: Path) -> None:
    out, svg = tmp_path / "out.json", tmp_path / "out.svg"
    done = bench(
        *("--quick", "--rounds", "1", "--row", "moebridge", "--row", "relay"),
        *("--out", str(out), "--chart", str(svg)),
        path=programs(tmp_path / "bin", *NEEDED),
    )
    assert done.returncode == 0, done.stderr
    assert "small: relay is not measured: cc not installed" in done.stderr
    assert "small 1/1: nginx " in done.stderr
    table = done.stdout.splitlines()
    assert any(
        row.split() == ["relay", "not", "measured:", "cc", "not", "installed"] for row in table
    )
    assert any("target <= 0.85 of nginx: measured" in row for row in table)

    results = json.loads(out.read_text())
    small = results["cases"]["small"]
    assert list(small["rows"]) == ["nginx", "moebridge"]
    assert small["missing"] == {"relay": "cc not installed"}
    assert small["load"] == "wrk -t1 -c32 -d1s"
    for row in small["rows"].values():
        (sample,) = row["samples"]
        assert row["figure"]["median"] == sample > 0
        assert row["more"]["requests_per_s"] > 0
    assert results["environment"]["command"] == (
        "moebridge bench --quick --row moebridge --row relay --rounds 1"
    )
    assert "relay" in results["settings"]
    assert results["targets"][0]["met"] in (True, False)
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")


def test_end_of_the_run_is_the_end_of_its_proxies() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "moebridge", "bench", "--quick", "--row", "moebridge"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("small 1/"):
                break
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.terminate()
    assert process.returncode == 128 + signal.SIGTERM
    assert len(children) >= 3  # upstream, nginx, moebridge
    end = time.monotonic() + 5  # the kernel, and whoever collects them now, may need a moment
    while left := [child for child in children if Path("/proc", child).exists()]:
        assert time.monotonic() < end, left
        time.sleep(0.05)


def test_relay_passes_both_ends_and_what_a_slow_reader_leaves() -> None:
    """More than all buffers hold, read late; then each side's end arrives at the other."""
    size = 32 * 1024 * 1024
    sent = os.urandom(size)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        (peer,) = RELAY
        port = listener.getsockname()[1]
        with peer.start(Setup(upstream=f"127.0.0.1:{port}")) as relay:
            listener.accept()[0].close()  # the connection that saw whether it accepts
            host, _, relay_port = relay.address.rpartition(":")
            with (
                socket.create_connection((host, int(relay_port)), timeout=30) as client,
                listener.accept()[0] as upstream,
            ):
                upstream.settimeout(30)
                client.sendall(b"request")
                client.shutdown(socket.SHUT_WR)
                assert b"".join(iter(lambda: upstream.recv(4096), b"")) == b"request"
                done = 0
                while select.select([], [upstream], [], 0.5)[1]:  # until all buffers are full
                    done += upstream.send(sent[done : done + 65536])
                assert done < size

                def write() -> None:
                    upstream.sendall(sent[done:])
                    upstream.shutdown(socket.SHUT_WR)

                writer = threading.Thread(target=write)
                writer.start()
                got = b"".join(iter(lambda: client.recv(50_000), b""))
                writer.join()
                assert got == sent
