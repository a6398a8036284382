#!/bin/bash
# Waits for the termination of this instance, drains it and completes the terminate hook. It is a unit of its own, so
# that a service that hangs does not block the termination.
set -uo pipefail
{{range .Vars}}{{.}}
{{end -}}
export AWS_DEFAULT_REGION=$REGION AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=4
at=http://169.254.169.254/latest
md() {
  local token
  token=$(curl -sf --max-time 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$at/api/token") &&
    curl -sf --max-time 2 -H "X-aws-ec2-metadata-token: $token" "$at/meta-data/$1"
}
# Auto Scaling terminates the instance, or EC2 reclaims a Spot instance in two minutes (that path is a 404 until then).
until [[ $(md autoscaling/target-lifecycle-state) == Terminated ]] || md spot/instance-action; do sleep 5; done
echo "this instance is being terminated"
# A worker stops receiving and finishes its messages. A server keeps running: Auto Scaling deregisters it before the
# hook, and a stop would cut its requests.
[[ $ROLE != worker ]] || systemctl stop imagery
# The hook cannot be completed before Terminating:Wait. If it is never completed, it times out.
until INSTANCE=$(md instance-id); do sleep 2; done
until timeout 20 aws autoscaling complete-lifecycle-action --auto-scaling-group-name "$GROUP" \
  --lifecycle-hook-name "$TERMINATE_HOOK" --instance-id "$INSTANCE" --lifecycle-action-result CONTINUE; do sleep 5; done
exec sleep infinity # systemd would start the script again
