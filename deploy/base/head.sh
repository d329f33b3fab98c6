#!/bin/bash
# The head pod: a Ray head node and, once that is up, the service. When either ends, so does the
# container, and Kubernetes starts both anew. On SIGTERM the service is left running (--keep): the
# gateways of the other pods serve on until a new head is there or Ray misses this one.
set -u
serve=
trap '[ -z "$serve" ] || { kill -TERM "$serve"; wait "$serve"; }; exit' TERM
ulimit -n 65536

eval "$KUBERAY_GEN_RAY_START_CMD" & # ends when the node does
ray=$!
until ray health-check >/dev/null 2>&1; do
  kill -0 "$ray" 2>/dev/null || exit 1
  sleep 1
done

# shellcheck disable=SC2086 # several words each
rewardplane serve /etc/rewardplane/rewards.yaml --host 0.0.0.0 --address auto --keep \
  ${ACCESS-} ${HTTP-} ${SERVE_FLAGS-} &
serve=$!
wait -n
exit 1
