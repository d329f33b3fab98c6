"""The HTTP port: the contracts of hosted services, over the same plan and lanes as gRPC.

One file for each contract; `request` holds what they share. They parse, dispatch and render, and
know nothing of replicas.
"""
