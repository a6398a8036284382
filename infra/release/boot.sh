#!/bin/bash
# Downloads one release, verifies it, runs its self-test, starts it, and then completes the launch hook, so that the
# instance enters service. On any failure it abandons the launch hook and powers the machine off, which terminates the
# instance even if the hook could not be reached.
set -Eeuo pipefail
umask 022
# The console is opened anew for each line, because the start of the login prompt closes open handles.
exec > >(while IFS= read -r line; do
  printf '%s\n' "$line" >>/var/log/imagery-boot.log || :
  printf '%s\n' "$line" >>/dev/console || :
done) 2>&1
{{range .Vars}}{{.}}
{{end -}}
export AWS_DEFAULT_REGION=$REGION AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=4

INSTANCE=
LOG=/var/log/imagery/imagery.log
# The network may not be up yet, so every error is retried. The second request is not sent without a token, since its
# error would hide that the first one failed.
imds() {
  curl -sf --retry 20 --retry-delay 2 --retry-max-time 30 --retry-all-errors --max-time 5 "${@:2}" \
    "http://169.254.169.254/latest/$1"
}
md() {
  local token
  token=$(imds api/token -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300') &&
    imds "meta-data/$1" -H "X-aws-ec2-metadata-token: $token"
}
# The hook cannot be completed before the instance is in Pending:Wait, so an error is retried, for a minute at most.
signal() {
  local end=$((SECONDS + 60))
  for ((n = 0; n < $2 && SECONDS < end; n++)); do
    timeout 40 aws autoscaling complete-lifecycle-action --auto-scaling-group-name "$GROUP" \
      --lifecycle-hook-name "$HOOK" --instance-id "$INSTANCE" --lifecycle-action-result "$1" && return 0
    sleep 6
  done
  return 1
}
# fail runs on every exit except that of the last line, also after an unset variable or a signal.
where=unknown
step=start
fail() {
  trap - ERR EXIT
  set +e
  systemctl stop --no-block imagery # its restarts would fill the console
  journalctl -u imagery -u imagery-selftest --no-pager -n 100
  tail -n 100 "$LOG"
  echo "IMAGERY BOOT FAILED: $step ($where)"
  [[ -z $INSTANCE ]] || signal ABANDON 3 # the hook cannot be completed without the instance id
  sleep 3
  systemctl poweroff
  exit 1
}
trap 'where="line $LINENO: $BASH_COMMAND"' ERR
trap fail EXIT
try() {
  step=$1
  echo "imagery boot: $step (after $SECONDS s)"
}
write() { base64 -d <<<"$2" >"$1"; }

try 'read the instance id'
INSTANCE=$(md instance-id)

try "download release $SHA"
dir=/opt/imagery/$SHA
install -d -m 0755 "$dir" /etc/imagery
# While new permissions and endpoints take effect, or AWS has an outage, requests fail with any error for some minutes,
# so every error is retried until a deadline, which also applies to the steps below. Final errors are a full or
# read-only disk, a command that the CLI rejects (252) and a missing program (126, 127).
final='No space left on device|Errno 28|Read-only file system|Errno 30'
deadline=$((SECONDS + RETRY_SECONDS))
left() { echo $((deadline > SECONDS ? deadline - SECONDS : 0)); }
until error=$(timeout 60 aws s3api get-object --bucket "$BUCKET" --key "$KEY" "$dir/imagery.tmp" 2>&1 >/dev/null); do
  code=$?
  echo "$error (exit code $code)"
  if [[ $code =~ ^(252|126|127)$ || $error =~ $final ]]; then
    step+=': final error'
    exit 1
  fi
  if (($(left) == 0)); then
    step+=": no success within $RETRY_SECONDS s; last error: ${error:-no answer} (exit code $code)"
    step=${step//$'\n'/ }
    exit 1
  fi
  sleep 5
done

try "verify the SHA-256 of release $SHA"
echo "$SHA  $dir/imagery.tmp" | sha256sum -c -
chmod 0755 "$dir/imagery.tmp"
mv -f "$dir/imagery.tmp" "$dir/imagery"
ln -sfn "$dir" /opt/imagery/current

try 'install'
id imagery >/dev/null 2>&1 || useradd --system --no-create-home --shell /sbin/nologin imagery
# systemd opens the log before the service starts, and would create it as root. logrotate runs as user imagery and could
# not truncate it.
install -d -m 0750 -o imagery -g imagery /var/log/imagery
[[ -e $LOG ]] || install -m 0640 -o imagery -g imagery /dev/null "$LOG"
write /etc/imagery/env "$ENVIRONMENT"
echo "IMAGERY_INSTANCE=$INSTANCE" >>/etc/imagery/env
write /etc/imagery/cloudwatch-agent.json "$AGENT"
write /etc/logrotate.d/imagery "$ROTATION"
install -d -m 0755 /etc/systemd/system/logrotate.timer.d /etc/systemd/system/imagery-selftest.service.d
write /etc/systemd/system/logrotate.timer.d/imagery.conf "$ROTATION_TIMER"
write /etc/systemd/system/imagery-agent.service "$AGENT_UNIT"
write /etc/systemd/system/imagery-agent.timer "$AGENT_TIMER"
write /etc/systemd/system/imagery.service "$UNIT"
write /etc/systemd/system/imagery-selftest.service "$UNIT"
write /etc/systemd/system/imagery-selftest.service.d/once.conf "$SELFTEST"
write /opt/imagery/drain "$DRAIN"
write /etc/systemd/system/imagery-drain.service "$DRAIN_UNIT"
[[ $SSM == true ]] || systemctl disable --now amazon-ssm-agent || true

try 'rotate and send logs'
systemctl daemon-reload
# A failure here does not fail the boot. The unit limits the size of the log, and the timer retries the installation of
# the agent; an alarm reports instances that send no logs.
{ systemctl enable logrotate.timer && systemctl restart logrotate.timer; } || echo "WARNING: logs are not rotated"
systemctl enable --now imagery-agent.timer || echo "WARNING: logs and metrics are not sent"

# Before the service starts, since a worker receives messages at once. The self-test retries requests that AWS denies,
# because permissions take effect one by one, until the same deadline; other failures are final.
try 'run the self-test'
rest=$(left)
printf '[Service]\nEnvironment=RETRY=%ds\nTimeoutStartSec=%d\n' "$rest" $((rest + 80)) \
  >/etc/systemd/system/imagery-selftest.service.d/retry.conf
systemctl daemon-reload
systemctl start imagery-selftest

try 'start the service'
systemctl enable --now imagery imagery-drain # Type=notify: returns when the service says that it is ready, or fails

try 'wait until the service is ready'
rest=$(left)
curl -sf --retry 300 --retry-delay 2 --retry-max-time $((rest > 60 ? rest : 60)) --retry-all-errors --max-time 5 \
  "http://127.0.0.1:$PORT/readyz" >/dev/null

try "check that the service is release $SHA"
[[ $(curl -sf --retry 5 --retry-delay 2 --retry-max-time 30 --retry-all-errors --max-time 5 \
  "http://127.0.0.1:$PORT/version") == "$SHA" ]]

try 'enter service'
signal CONTINUE 20
trap - EXIT
echo "imagery boot: in service (after $SECONDS s)"
