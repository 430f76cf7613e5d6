"""No file of the tree names a place on a developer's machine."""

from __future__ import annotations

import re

import pytest

from .source_tree import ROOT, tracked_files

# Homes and workspaces; what Debian itself has (/usr, /etc, /tmp, /proc ...) is nobody's own.
_PRIVATE = re.compile(
    rb"(?<![\w.:/])/(?:home|root|work|workspace|Users|mnt|srv)/[\w.~-]|\.py[e]nv\b"
)
_NOT_TEXT = (".png", ".gz", ".pb", ".bin")


def private_places(content: bytes) -> list[bytes]:
    return [match.group() for match in _PRIVATE.finditer(content)]


def test_no_file_names_a_path_of_a_developers_machine() -> None:
    found = [
        f"{file.relative_to(ROOT)}: {places[0].decode()}..."
        for file in tracked_files()
        if not file.name.endswith(_NOT_TEXT) and (places := private_places(file.read_bytes()))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("folder", [b"home", b"root", b"work", b"Users"])
def test_private_path_is_found(folder: bytes) -> None:
    assert private_places(b"see '/" + folder + b"/ann/x'")


def test_url_and_system_path_are_no_private_paths() -> None:
    text = b"http://host/%s/x and /usr/lib/x and a.b/%s/x and /work" % (b"home", b"work")
    assert private_places(text) == []
