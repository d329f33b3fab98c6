"""The only package that imports Ray: deployments, membership, reload and the serve loop.

It hosts the gateway and the replicas as Ray Serve applications and tells gateways which replicas
there are. Everything that can be tested without a cluster belongs into another package.
"""
