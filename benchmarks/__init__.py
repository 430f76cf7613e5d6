"""What moebridge costs: pytest-benchmark suites here, the comparison with other proxies in `peers`."""
