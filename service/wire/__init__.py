"""Between protobuf messages and domain types, and between errors and gRPC status, both ways.

Client and gateway share this package, so it needs the base install only (gRPC and protobuf). Change
it together with the contract in `proto/`.
"""
