from __future__ import annotations

import subprocess
import sys

from benchmarks.moebridge_bench.memory import Memory, anonymous_bytes

MIB = 2**20
# Says when it has begun; takes 32 MiB, gives 24 of them back, says so, waits.
CHILD = """
print(flush=True); input()
kept, gone = bytearray(8 << 20), bytearray(24 << 20)
kept[::4096] = gone[::4096][:2048]; gone[::4096] = bytes(6144); del gone
print(flush=True); input()
"""


def test_peak_counts_what_was_given_back_and_the_set_size_does_not() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        memory, before = Memory(child.pid), anonymous_bytes(child.pid)
        assert memory.peak_growth_bytes() < MIB
        child.stdin.write("\n")
        child.stdin.flush()
        child.stdout.readline()
        assert 31 * MIB < memory.peak_growth_bytes() < 36 * MIB
        assert 7 * MIB < anonymous_bytes(child.pid) - before < 12 * MIB
        child.communicate("\n")
