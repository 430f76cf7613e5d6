"""What moebridge costs: pytest-benchmark suites here, other proxies beside it in `peers`."""
