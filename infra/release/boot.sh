#!/bin/bash
# Fetches one release, checks it, starts it, and only then lets Auto Scaling use this instance. Whatever goes
# wrong ends in an instance that was never in service: the launch hook is abandoned, and as a net below that the
# machine powers itself off, which terminates it.
set -Eeuo pipefail
umask 022
exec > >(tee -a /var/log/imagery-boot.log >/dev/console) 2>&1
{{range .Vars}}{{.}}
{{end -}}
export AWS_DEFAULT_REGION=$REGION AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=4

md() {
  local token
  token=$(curl -sf --retry 20 --retry-connrefused --max-time 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' http://169.254.169.254/latest/api/token)
  curl -sf --max-time 5 -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"
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
fail() {
  trap - ERR
  set +e
  echo "IMAGERY BOOT FAILED at line $1"
  journalctl -u imagery --no-pager -n 100
  tail -n 100 /var/log/imagery/imagery.log
  signal ABANDON 3
  sleep 3
  systemctl poweroff
  exit 1
}
trap 'fail $LINENO' ERR

INSTANCE=unknown
INSTANCE=$(md instance-id)
dir=/opt/imagery/$SHA
install -d -m 0755 "$dir" /etc/imagery

# New rights and endpoints look like refusals and timeouts for some minutes; other bytes never become right.
deadline=$((SECONDS + RETRY_SECONDS))
until timeout 60 aws s3api get-object --bucket "$BUCKET" --key "$KEY" "$dir/imagery.tmp" >/dev/null; do
  ((SECONDS < deadline)) || fail $LINENO
  sleep 5
done
echo "$SHA  $dir/imagery.tmp" | sha256sum -c --status -
chmod 0755 "$dir/imagery.tmp"
mv -f "$dir/imagery.tmp" "$dir/imagery"
ln -sfn "$dir" /opt/imagery/current

id imagery >/dev/null 2>&1 || useradd --system --no-create-home --shell /sbin/nologin imagery
install -d -m 0750 -o imagery -g imagery /var/log/imagery # systemd opens the log before the program could make its folder
base64 -d <<<"$ENVIRONMENT" >/etc/imagery/env
echo "IMAGERY_INSTANCE=$INSTANCE" >>/etc/imagery/env
base64 -d <<<"$AGENT" >/etc/imagery/cloudwatch-agent.json
base64 -d <<<"$UNIT" >/etc/systemd/system/imagery.service
[[ $SSM == true ]] || systemctl disable --now amazon-ssm-agent || true
# A service without logs is better than none: the alarm on missing metrics tells.
(timeout 150 dnf -y -q install amazon-cloudwatch-agent &&
  timeout 30 /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s -c file:/etc/imagery/cloudwatch-agent.json) ||
  echo "WARNING: logs and metrics are not shipped"

systemctl daemon-reload
systemctl enable --now imagery
curl -sf --retry 60 --retry-delay 2 --retry-max-time 120 --retry-all-errors --max-time 5 "http://127.0.0.1:$PORT/readyz" >/dev/null
[[ $(curl -sf --max-time 5 "http://127.0.0.1:$PORT/version") == "$SHA" ]]
signal CONTINUE 20
