"""The comparison with other proxies: `python -m benchmarks.peers --help`."""
