"""Figures under load and faults: request ids are counted at the client and at the upstream.

Each module has tests (a short run, and the full figure marked `long`) and is a command:
`python -m tests.e2e.load.test_NAME [--full] [--out FILE]` prints the figure as JSON.
"""
