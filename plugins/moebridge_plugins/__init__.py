"""Filters that ship with moebridge: ordinary plugins, registered by entry points.

Twins of the filters built in the core: `basic_auth`, `body_scan`, `header_mutation`. To be
deployed: `api_key`, `redact`, `llm_usage`; for connections: `redis_guard`.
"""
