"""Compiles the filter: `python setup.py build_ext --inplace`."""

from Cython.Build import cythonize
from setuptools import setup

setup(
    name="digest-filter",
    # Cython's function has no types.
    ext_modules=cythonize("digest_filter.py", language_level=3),  # type: ignore[no-untyped-call]
)
