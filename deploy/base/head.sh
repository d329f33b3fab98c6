#!/bin/bash
# The head pod: a Ray head node and, once that is up, the service. When either ends, so does the
# container, and Kubernetes starts both anew. On SIGTERM the service drains first.
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

# ACCESS is two words or one.
# shellcheck disable=SC2086
rewardplane serve /etc/rewardplane/rewards.yaml --host 0.0.0.0 --address auto \
  --gateways "$GATEWAYS" $ACCESS &
serve=$!
wait -n
exit 1
