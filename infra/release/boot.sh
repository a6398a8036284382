#!/bin/bash
# Fetches one release, checks it, has it do the job once, starts it, and only then lets Auto Scaling use this
# instance. Whatever goes wrong ends in an instance that was never in service: the launch hook is abandoned, and as
# a net below that the machine powers itself off, which terminates it.
set -Eeuo pipefail
umask 022
# The console is opened for each line: the login prompt that comes up meanwhile hangs up whoever has it open.
exec > >(while IFS= read -r line; do
  printf '%s\n' "$line" >>/var/log/imagery-boot.log || :
  printf '%s\n' "$line" >>/dev/console || :
done) 2>&1
{{range .Vars}}{{.}}
{{end -}}
export AWS_DEFAULT_REGION=$REGION AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=4

INSTANCE=
LOG=/var/log/imagery/imagery.log
# The network may come up later than this script, so that any error is worth repeating. The second call must not go
# without a token: its refusal would hide that the first one failed.
imds() {
  curl -sf --retry 20 --retry-delay 2 --retry-max-time 30 --retry-all-errors --max-time 5 "${@:2}" \
    "http://169.254.169.254/latest/$1"
}
md() {
  local token
  token=$(imds api/token -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300') && imds "meta-data/$1" -H "X-aws-ec2-metadata-token: $token"
}
# Until the instance reaches Pending:Wait there is no hook to complete, so an answer is worth repeating, for a minute.
signal() {
  local end=$((SECONDS + 60))
  for ((n = 0; n < $2 && SECONDS < end; n++)); do
    timeout 40 aws autoscaling complete-lifecycle-action --auto-scaling-group-name "$GROUP" \
      --lifecycle-hook-name "$HOOK" --instance-id "$INSTANCE" --lifecycle-action-result "$1" && return 0
    sleep 6
  done
  return 1
}
# Every way out but the last line ends here, a variable that is not set and a signal, too.
where=unknown
step=start
fail() {
  trap - ERR EXIT
  set +e
  systemctl stop --no-block imagery # else its restarts would fill the console
  journalctl -u imagery -u imagery-selftest --no-pager -n 100
  tail -n 100 "$LOG"
  echo "IMAGERY BOOT FAILED: $step ($where)"
  [[ -z $INSTANCE ]] || signal ABANDON 3 # without a name there is nobody to abandon
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

try 'ask for the name of this instance'
INSTANCE=$(md instance-id)

try "fetch release $SHA"
dir=/opt/imagery/$SHA
install -d -m 0755 "$dir" /etc/imagery
# New rights, new endpoints and an ill service look like refusals, missing things, timeouts and server errors for some
# minutes. What no waiting changes is the exception: a full or read-only disk, and a command that the CLI does not
# understand (252) or that is not there (126, 127). The deadline is that of everything below that waits for AWS.
final='No space left on device|Errno 28|Read-only file system|Errno 30'
deadline=$((SECONDS + RETRY_SECONDS))
left() { echo $((deadline > SECONDS ? deadline - SECONDS : 0)); }
until said=$(timeout 60 aws s3api get-object --bucket "$BUCKET" --key "$KEY" "$dir/imagery.tmp" 2>&1 >/dev/null); do
  code=$?
  echo "$said (exit code $code)"
  if [[ $code =~ ^(252|126|127)$ || $said =~ $final ]]; then
    step+=': an answer that waiting does not change'
    exit 1
  fi
  if (($(left) == 0)); then
    step+=": no success within $RETRY_SECONDS s; at last: ${said:-no answer} (exit code $code)"
    step=${step//$'\n'/ }
    exit 1
  fi
  sleep 5
done

try "check that the file is release $SHA"
echo "$SHA  $dir/imagery.tmp" | sha256sum -c -
chmod 0755 "$dir/imagery.tmp"
mv -f "$dir/imagery.tmp" "$dir/imagery"
ln -sfn "$dir" /opt/imagery/current

try 'install'
id imagery >/dev/null 2>&1 || useradd --system --no-create-home --shell /sbin/nologin imagery
install -d -m 0750 -o imagery -g imagery /var/log/imagery # systemd opens the log before the program could make its folder
# systemd would make the file as root, and logrotate, which works as its owner, could not shorten it.
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
write /opt/imagery/leave "$LEAVE"
write /etc/systemd/system/imagery-leave.service "$LEAVE_UNIT"
[[ $SSM == true ]] || systemctl disable --now amazon-ssm-agent || true

try 'rotate and ship logs'
systemctl daemon-reload
# Neither decides about this instance. The log has a limit of its own, and the timer installs the agent in the
# background and repeats that until it works; the alarm on silent instances tells when it never does.
{ systemctl enable logrotate.timer && systemctl restart logrotate.timer; } || echo "WARNING: logs are not rotated"
systemctl enable --now imagery-agent.timer || echo "WARNING: logs and metrics are not shipped"

# Before the service starts: a worker takes work from its first second on. Rights arrive one by one, so that a test
# that is refused is repeated until the same deadline; what the machine does wrong is final.
try 'do the job once'
rest=$(left)
printf '[Service]\nEnvironment=RETRY=%ds\nTimeoutStartSec=%d\n' "$rest" $((rest + 80)) \
  >/etc/systemd/system/imagery-selftest.service.d/retry.conf
systemctl daemon-reload
systemctl start imagery-selftest

try 'start the service'
systemctl enable --now imagery imagery-leave # Type=notify: returns when the service says that it is ready, or fails

try 'wait until it can do its job'
rest=$(left)
curl -sf --retry 300 --retry-delay 2 --retry-max-time $((rest > 60 ? rest : 60)) --retry-all-errors --max-time 5 \
  "http://127.0.0.1:$PORT/readyz" >/dev/null

try "ask the service for its release, which must be $SHA"
[[ $(curl -sf --retry 5 --retry-delay 2 --retry-max-time 30 --retry-all-errors --max-time 5 "http://127.0.0.1:$PORT/version") == "$SHA" ]]

try 'enter service'
signal CONTINUE 20
trap - EXIT
echo "imagery boot: in service (after $SECONDS s)"
