"""The configuration file: its schema, its checks, and the digest of each reward.

Pure pydantic and YAML: no gRPC, no Ray. A new setting is a field in `settings` or `load`, with its
allowed range and a docstring.
"""
