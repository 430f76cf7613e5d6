"""Configuration: Envoy's file or plain objects, checked and lowered to one typed model.

Import from its modules: `load` (Envoy's form), `simple` (the object form), `filter_spec` (filters
by name), `model` (what comes out). The package itself loads none of them, since `import moebridge`
needs only `faults`.
"""
