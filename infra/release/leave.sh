#!/bin/bash
# Watches for the end of this instance, and lets it go when nothing would be lost by that. It lives beside the
# service, whose stop on SIGTERM is the same drain, so that a service that hangs is left behind, too.
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
# Auto Scaling wants the instance gone, or EC2 takes it back in two minutes (that path is a 404 until then).
until [[ $(md autoscaling/target-lifecycle-state) == Terminated ]] || md spot/instance-action; do sleep 5; done
echo "this instance is about to end"
# A worker stops receiving and finishes what it holds. A server's requests end with its deregistration, which comes
# before the hook; stopped earlier, it would cut them.
[[ $ROLE != worker ]] || systemctl stop imagery
# There is nothing to complete before Terminating:Wait; if it never works, the hook runs out by itself.
until INSTANCE=$(md instance-id); do sleep 2; done
until timeout 20 aws autoscaling complete-lifecycle-action --auto-scaling-group-name "$GROUP" \
  --lifecycle-hook-name "$TERMINATE_HOOK" --instance-id "$INSTANCE" --lifecycle-action-result CONTINUE; do sleep 5; done
exec sleep infinity # else systemd would start the watch again
