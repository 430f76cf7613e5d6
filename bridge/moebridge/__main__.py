"""`python -m moebridge`: the command."""

from moebridge.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
