"""Builds the C core and the two extension modules; the metadata is in pyproject.toml.

`moebridge._core` is the cffi binding with the whole core inside, an archive of native/Makefile.
`moebridge._dispatch` is the Cython entry into Python hooks; it takes the core's address at import
and links nothing of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import editable_wheel

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parent
ROOTS = [ROOT / "bridge", ROOT / "plugins", ROOT / "benchmarks"]
sys.path.insert(0, str(ROOT / "bridge"))  # pip does not put the source tree on the path

import build_core  # noqa: E402  (needs the path above)

ARCHIVE = "build/native/release/libmbcore.a"
CORE_SOURCE = "build/cffi/_core.c"
EXPORTS = "bridge/core_exports.map"  # only the module's init function leaves the shared object
# pkg-config's name of each library, and the Debian package that brings it.
LIBRARIES = {
    "libcares": "libc-ares-dev",
    "libnghttp2": "libnghttp2-dev",
    "libssl": "libssl-dev",
    "libcrypto": "libssl-dev",
    "libxxhash": "libxxhash-dev",
    "re2": "libre2-dev",
}
INCLUDE_DIRS = ["native", "native/include"]
COMPILE_ARGS = ["-std=gnu11", "-O3", "-fvisibility=hidden"]

core = Extension(
    "moebridge._core",
    sources=[],  # CORE_SOURCE, once it is written
    include_dirs=INCLUDE_DIRS,
    define_macros=[("_CFFI_NO_LIMITED_API", "1")],
    extra_compile_args=COMPILE_ARGS,
    extra_link_args=["-O3", "-flto=2", "-pthread", f"-Wl,--version-script={EXPORTS}"],
    extra_objects=[ARCHIVE],
    depends=[ARCHIVE, EXPORTS],
)
dispatch = Extension(
    "moebridge._dispatch",
    sources=["bridge/moebridge/_dispatch.pyx", "bridge/moebridge/_trampoline.c"],
    include_dirs=[*INCLUDE_DIRS, "bridge/moebridge"],
    extra_compile_args=COMPILE_ARGS,
    depends=[
        str(path.relative_to(ROOT))
        for pattern in ("native/include/**/*.h", "bridge/**/*.h", "bridge/**/*.px[di]")
        for path in ROOT.glob(pattern)
    ],
)

# Until both have their sources (core.h, _dispatch.pyx), what has none is left out.
FIRST_SOURCES = [
    (core, build_core.INCLUDE / "moebridge/core.h"),
    (dispatch, ROOT / "bridge/moebridge/_dispatch.pyx"),
]


def link_flags() -> list[str]:
    """Returns pkg-config's flags of the core's libraries, or exits with the package to install."""
    try:
        for name, package in LIBRARIES.items():
            if subprocess.run(["pkg-config", "--exists", name], check=False).returncode:
                sys.exit(f"moebridge: the C library {name} is missing: apt-get install {package}")
    except FileNotFoundError:
        sys.exit("moebridge: pkg-config is missing: apt-get install pkg-config")
    command = ["pkg-config", "--libs", *LIBRARIES]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


class BuildExt(build_ext):
    """Makes the core's archive and the binding's source before the extensions."""

    def run(self) -> None:
        """Builds what changed; setuptools calls it."""
        core.extra_link_args += [*link_flags(), "-lstdc++", "-lm", "-ldl"]
        quiet = [] if self.verbose > 1 else ["-s"]
        made = subprocess.run(["make", *quiet, "-C", "native", "-j2", "release"], check=False)
        if made.returncode:
            sys.exit("moebridge: the C core did not compile; the compiler's words are above")
        build_core.write_source(ROOT / CORE_SOURCE)
        core.sources = [CORE_SOURCE]
        self.cython_c_in_temp = True
        super().run()


class StaticPath:
    """An editable install that mypy and pyright can follow: a path file with the source roots.

    setuptools' own choice for several roots is an import hook, which no type checker runs. This is
    the strategy object of its `editable_wheel` command, a context manager that fills the wheel.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, wheel: Any, files: list[str], mapping: dict[str, str]) -> None:  # noqa: ARG002
        """Writes the path file into the wheel."""
        wheel.writestr(f"__editable__.{self._name}.pth", "".join(f"{root}\n" for root in ROOTS))

    def __enter__(self) -> StaticPath:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


class EditableWheel(editable_wheel):
    """setuptools' editable install with `StaticPath`, whatever `--mode` says."""

    def _select_strategy(self, name: str, tag: str, build_lib: Any) -> StaticPath:  # noqa: ARG002
        return StaticPath(name)


setup(
    # The public headers are installed as moebridge/include/moebridge/*.h.
    packages=[
        *find_packages("bridge"),
        *find_packages("plugins"),
        *find_packages("benchmarks", include=["moebridge_bench*"]),
        "moebridge.include",
    ],
    # make sets the variable: it installs the path file first and compiles in place after that.
    ext_modules=[]
    if "MOEBRIDGE_BUILD_LATER" in os.environ
    else [module for module, source in FIRST_SOURCES if source.exists()],
    cmdclass={"build_ext": BuildExt, "editable_wheel": EditableWheel},
)
