"""Builds the C tests and runs each of their cases as a test of its own.

Cases are found in the sources, so that nothing is built to collect them; a test compares them with
what the program lists. A program that doesn't compile fails its own cases only.
"""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NATIVE = ROOT / "native"
CASE_S = 60
BUILD_S = 600
_CASE = re.compile(r"^MB_TEST\((\w+)\)", re.MULTILINE)
_ASAN_ONLY = re.compile(r"^#ifdef MB_HAS_ASAN\n.*?^#endif", re.MULTILINE | re.DOTALL)
_PORTABLE = ("base/", "http/")
_NEEDS_LIBRARIES = "http/test_h2_"  # of the other machine: nghttp2 is not there

# Program (path below tests/native without suffix) -> names of its cases.
PROGRAMS = {
    str(path.relative_to(HERE).with_suffix("")): _CASE.findall(path.read_text(encoding="utf-8"))
    for path in sorted(HERE.rglob("test_*.c"))
}
CASES = [(program, case) for program, cases in PROGRAMS.items() for case in cases]
THREADED_CASES = [(program, case) for program, case in CASES if program.endswith("_threads")]
# Cases that ask the sanitizer itself stand between #ifdef MB_HAS_ASAN and #endif.
PORTABLE_CASES = [
    (program, case)
    for program in PROGRAMS
    if program.startswith(_PORTABLE) and not program.startswith(_NEEDS_LIBRARIES)
    for case in _CASE.findall(_ASAN_ONLY.sub("", (HERE / f"{program}.c").read_text("utf-8")))
]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "-s", "-C", str(NATIVE), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=BUILD_S)


@functools.cache
def build_all(target: str) -> None:
    """Uses both cores for what compiles; what does not is reported by `build`."""
    make("-k", "-j2", target)


@functools.cache
def build(target: str, flavour: str, program: str) -> tuple[Path, str]:
    """Returns the program and, when it could not be built, the compiler's words."""
    build_all(target)
    path = f"../build/native/{flavour}/tests/{program}"
    made = make(path)
    return NATIVE / path, "" if made.returncode == 0 else made.stdout + made.stderr or "make failed"


def built(target: str, flavour: str, program: str) -> Path:
    path, problem = build(target, flavour, program)
    if problem:
        pytest.fail(f"{program} does not build:\n{problem}", pytrace=False)
    return path


def run(*command: str | Path) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=CASE_S)
    if done.returncode != 0:
        pytest.fail(f"exit {done.returncode}\n{done.stdout}{done.stderr}", pytrace=False)
    return done.stdout


@pytest.mark.timeout(BUILD_S + CASE_S)
@pytest.mark.parametrize(("program", "case"), CASES, ids=[f"{p}:{c}" for p, c in CASES])
def test_case(program: str, case: str) -> None:
    assert run(built("asan", "asan", program), case) == f"ok {case}\n"


@pytest.mark.timeout(BUILD_S + CASE_S)
@pytest.mark.parametrize(
    ("program", "case"), PORTABLE_CASES, ids=[f"{p}:{c}" for p, c in PORTABLE_CASES]
)
def test_case_on_aarch64(program: str, case: str) -> None:
    path = built("aarch64-tests", "aarch64", program)
    assert run("qemu-aarch64", path, case) == f"ok {case}\n"


@pytest.mark.timeout(BUILD_S + CASE_S)
@pytest.mark.parametrize(
    ("program", "case"), THREADED_CASES, ids=[f"{p}:{c}" for p, c in THREADED_CASES]
)
def test_case_has_no_data_race(program: str, case: str) -> None:
    path = built(f"../build/native/tsan/tests/{program}", "tsan", program)
    assert run(path, case) == f"ok {case}\n"


@pytest.mark.timeout(BUILD_S + CASE_S)
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_case_of_a_program_is_collected(program: str) -> None:
    listed = run(built("asan", "asan", program), "--list").split()
    assert listed == PROGRAMS[program]
    assert listed, f"{program} has no case"


@pytest.mark.timeout(BUILD_S + CASE_S)
def test_failed_check_fails_the_program(tmp_path: Path) -> None:
    """The harness can fail: without this every case above could pass for nothing."""
    built("asan", "asan", "test_mbtest")
    source = tmp_path / "test_bad.c"
    source.write_text(
        '#include "mbtest.h"\n'
        "MB_TEST(wrong) { MB_CHECK_EQ_INT(1, 2); }\n"
        "MB_TEST(right) { MB_CHECK(true); }\n"
        "MB_TEST(leaves_a_block) {\n"
        "    mbtest_alloc *memory = mbtest_failing_alloc(0);\n"
        "    (void)memory->allocator.alloc(memory, 1);\n"
        "    mbtest_alloc_free(memory);\n"
        "}\n",
        encoding="utf-8",
    )
    library = ROOT / "build/native/asan/libmbtest.a"
    program = tmp_path / "test_bad"
    flags = ["-fsanitize=address,undefined", f"-I{HERE}", f"-I{NATIVE}/include"]
    run("gcc", *flags, "-o", program, source, library)
    done = subprocess.run(
        [program],
        check=False,
        capture_output=True,
        text=True,
        timeout=CASE_S,
        env={"ASAN_OPTIONS": "detect_leaks=0"},
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert lines[0] == f"FAIL wrong {source}:2: 1 is 1, want 2"
    assert lines[1] == "ok right"
    assert lines[2].startswith("FAIL leaves_a_block ")
