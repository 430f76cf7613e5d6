from __future__ import annotations

from pathlib import Path

from benchmarks.moebridge_bench.measure import make_row
from benchmarks.moebridge_bench.measures import MEASURES
from benchmarks.moebridge_bench.peer import Tools
from benchmarks.moebridge_bench.peers import PEERS


def test_row_that_was_measured_in_fewer_rounds_is_compared_in_those() -> None:
    row = make_row("slow", [30.0, 60.0], base=[10.0, 20.0, 1.0])
    assert row.get("ratio") == {"median": 3.0, "low": 3.0, "high": 3.0}
    assert row["figure"]["median"] == 45.0


def test_row_without_a_base_has_no_ratio() -> None:
    assert "ratio" not in make_row("idle", [1.0])


def test_names_of_measures_are_unique_and_one_is_quick() -> None:
    names = [measure.name for measure in MEASURES]
    assert len(set(names)) == len(names)
    assert [measure.name for measure in MEASURES if measure.quick] == ["small"]


def test_further_proxies_are_found_in_the_folder_that_is_given(tmp_path: Path) -> None:
    peer = PEERS["mitmproxy"]
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "mitmdump"
    program.write_text("#!/bin/sh\n")
    assert peer.missing(Tools(tmp_path)) == "mitmdump not installed"  # it cannot be run
    program.chmod(0o755)
    assert peer.missing(Tools(tmp_path)) is None
    assert Tools(tmp_path).path("mitmdump") == str(program)


def test_lua_module_of_nginx_is_found_where_it_was_unpacked(tmp_path: Path) -> None:
    peer = PEERS["nginx+lua"]
    module = tmp_path / "debian/usr/lib/nginx/modules/ngx_http_lua_module.so"
    module.parent.mkdir(parents=True)
    module.touch()
    assert peer.missing(Tools(tmp_path)) is None
