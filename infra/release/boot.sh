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
# The network may come up later than this script, so that any error is worth repeating. The second call must not go
# without a token: its refusal would hide that the first one failed.
imds() { curl -sf --retry 20 --retry-delay 2 --retry-max-time 60 --retry-all-errors --max-time 5 "${@:2}" "http://169.254.169.254/latest/$1"; }
md() {
  local token
  token=$(imds api/token -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300') && imds "meta-data/$1" -H "X-aws-ec2-metadata-token: $token"
}
# Until the instance reaches Pending:Wait there is no hook to complete, so an answer is worth repeating.
signal() {
  for ((n = 0; n < $2; n++)); do
    timeout 20 aws autoscaling complete-lifecycle-action --auto-scaling-group-name "$GROUP" \
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
  tail -n 100 /var/log/imagery/imagery.log
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
# New rights and endpoints look like refusals, missing things and timeouts for some minutes. Nothing else passes
# by waiting.
passing='\((403|404|AccessDenied|Forbidden|InvalidAccessKeyId|NoSuchKey|NoSuchBucket)\)|[Tt]im(ed ?out|eout)|Could not connect|Unable to locate credentials'
deadline=$((SECONDS + RETRY_SECONDS))
until said=$(timeout 60 aws s3api get-object --bucket "$BUCKET" --key "$KEY" "$dir/imagery.tmp" 2>&1 >/dev/null); do
  code=$?
  echo "$said"
  if [[ $code != 124 && ! $said =~ $passing ]]; then
    step+=': an answer that waiting does not change'
    exit 1
  fi
  if ((SECONDS >= deadline)); then
    step+=": still refused after $RETRY_SECONDS s"
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
write /etc/imagery/env "$ENVIRONMENT"
echo "IMAGERY_INSTANCE=$INSTANCE" >>/etc/imagery/env
write /etc/imagery/cloudwatch-agent.json "$AGENT"
write /etc/logrotate.d/imagery "$ROTATION"
write /etc/systemd/system/imagery.service "$UNIT"
write /etc/systemd/system/imagery-selftest.service "$UNIT"
install -d -m 0755 /etc/systemd/system/imagery-selftest.service.d
write /etc/systemd/system/imagery-selftest.service.d/once.conf "$SELFTEST"
write /opt/imagery/leave "$LEAVE"
write /etc/systemd/system/imagery-leave.service "$LEAVE_UNIT"
[[ $SSM == true ]] || systemctl disable --now amazon-ssm-agent || true

try 'ship logs'
# A service without logs is better than none: the alarm on missing metrics tells.
(timeout 150 dnf -y -q install amazon-cloudwatch-agent &&
  timeout 30 /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s -c file:/etc/imagery/cloudwatch-agent.json) ||
  echo "WARNING: logs and metrics are not shipped"

# Before the service starts: a worker takes work from its first second on.
try 'do the job once'
systemctl daemon-reload
systemctl start imagery-selftest

try 'start the service'
systemctl enable --now imagery imagery-leave # Type=notify: returns when the service says that it is ready, or fails

try 'wait until it can do its job'
curl -sf --retry 60 --retry-delay 2 --retry-max-time 120 --retry-all-errors --max-time 5 "http://127.0.0.1:$PORT/readyz" >/dev/null

try "ask the service for its release, which must be $SHA"
[[ $(curl -sf --retry 5 --retry-delay 2 --retry-max-time 30 --retry-all-errors --max-time 5 "http://127.0.0.1:$PORT/version") == "$SHA" ]]

try 'enter service'
signal CONTINUE 20
trap - EXIT
echo "imagery boot: in service (after $SECONDS s)"
