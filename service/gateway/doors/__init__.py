"""The doors: what speaks gRPC with clients, behind one small interface (`rpc`, `door`).

A door hands remote calls to the gateway in batches, as bytes, and carries its answers back; it
parses nothing and knows no reward. `native` serves outside the GIL, `grpc_aio` on any host.
"""
