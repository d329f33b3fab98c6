"""Makes the Helm chart of deploy/helm from the kustomizations beside it."""
