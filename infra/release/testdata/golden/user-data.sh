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
REGION=eu-central-1
GROUP=imagery-prod-server
HOOK=launch
BUCKET=releases
KEY=releases/65f0f7da59b1ffc3faea3a309fd02c336eda5dd34b25df27ffc8689d96d0b44c/imagery
SHA=65f0f7da59b1ffc3faea3a309fd02c336eda5dd34b25df27ffc8689d96d0b44c
PORT=8080
RETRY_SECONDS=60
SSM=true
ENVIRONMENT=SU1BR0VSWV9ST0xFPXNlcnZlcgpJTUFHRVJZX0xJU1RFTj04MDgwCklNQUdFUllfVEFCTEU9dApJTUFHRVJZX0JVQ0tFVD1iCklNQUdFUllfUVVFVUVfVVJMPWh0dHBzOi8vcS8xCklNQUdFUllfU1RBQ0s9cHJvZApJTUFHRVJZX0NPTlNVTUU9dHJ1ZQpJTUFHRVJZX1MzX1BBVEhfU1RZTEU9ZmFsc2UKQVdTX1JFR0lPTj1ldS1jZW50cmFsLTEKQVdTX0FDQ09VTlRfSURfRU5EUE9JTlRfTU9ERT1kaXNhYmxlZApHT01FTUxJTUlUPTEwNzM3NDE4MjQK
AGENT=ewogImxvZ3MiOiB7CiAgImxvZ3NfY29sbGVjdGVkIjogewogICAiZmlsZXMiOiB7CiAgICAiY29sbGVjdF9saXN0IjogWwogICAgIHsKICAgICAgImZpbGVfcGF0aCI6ICIvdmFyL2xvZy9pbWFnZXJ5L2ltYWdlcnkubG9nIiwKICAgICAgImxvZ19ncm91cF9uYW1lIjogIi9pbWFnZXJ5L3Byb2Qvc2VydmVyIiwKICAgICAgImxvZ19zdHJlYW1fbmFtZSI6ICJ7aW5zdGFuY2VfaWR9IgogICAgIH0sCiAgICAgewogICAgICAiZmlsZV9wYXRoIjogIi92YXIvbG9nL2ltYWdlcnktYm9vdC5sb2ciLAogICAgICAibG9nX2dyb3VwX25hbWUiOiAiL2ltYWdlcnkvcHJvZC9zZXJ2ZXIiLAogICAgICAibG9nX3N0cmVhbV9uYW1lIjogIntpbnN0YW5jZV9pZH0vYm9vdCIKICAgICB9CiAgICBdCiAgIH0KICB9CiB9Cn0=
ROTATION=L3Zhci9sb2cvaW1hZ2VyeS9pbWFnZXJ5LmxvZyB7CiAgICBzdSBpbWFnZXJ5IGltYWdlcnkKICAgIHNpemUgNjRNCiAgICByb3RhdGUgMgogICAgbm9kYXRlZXh0CiAgICBjb3B5dHJ1bmNhdGUKICAgIG1pc3NpbmdvawogICAgbm90aWZlbXB0eQp9Cg==
ROTATION_TIMER=W1RpbWVyXQpPbkNhbGVuZGFyPQpPbkNhbGVuZGFyPSo6MC8xNQpBY2N1cmFjeVNlYz0xcwpSYW5kb21pemVkRGVsYXlTZWM9MAo=
AGENT_UNIT=W1VuaXRdCkRlc2NyaXB0aW9uPUltYWdlcnk6IHNlbmQgbG9ncyBhbmQgbWV0cmljcwpXYW50cz1uZXR3b3JrLW9ubGluZS50YXJnZXQKQWZ0ZXI9bmV0d29yay1vbmxpbmUudGFyZ2V0CgpbU2VydmljZV0KVHlwZT1vbmVzaG90CkV4ZWNDb25kaXRpb249L2Jpbi9iYXNoIC1jICchIHN5c3RlbWN0bCAtcSBpcy1hY3RpdmUgYW1hem9uLWNsb3Vkd2F0Y2gtYWdlbnQnCkV4ZWNTdGFydD0vdXNyL2Jpbi9kbmYgLXkgLXEgaW5zdGFsbCBhbWF6b24tY2xvdWR3YXRjaC1hZ2VudApFeGVjU3RhcnQ9L29wdC9hd3MvYW1hem9uLWNsb3Vkd2F0Y2gtYWdlbnQvYmluL2FtYXpvbi1jbG91ZHdhdGNoLWFnZW50LWN0bCAtYSBmZXRjaC1jb25maWcgLW0gZWMyIC1zIFwKICAtYyBmaWxlOi9ldGMvaW1hZ2VyeS9jbG91ZHdhdGNoLWFnZW50Lmpzb24KVGltZW91dFN0YXJ0U2VjPTE1bWluCk5pY2U9MTAKT09NU2NvcmVBZGp1c3Q9OTAwClN0YW5kYXJkT3V0cHV0PWpvdXJuYWwrY29uc29sZQo=
AGENT_TIMER=W1VuaXRdCkRlc2NyaXB0aW9uPUltYWdlcnk6IHNlbmQgbG9ncyBhbmQgbWV0cmljcywgcmV0cmllZCB1bnRpbCBpdCB3b3JrcwoKW1RpbWVyXQpPbkFjdGl2ZVNlYz0xcwpPblVuaXRJbmFjdGl2ZVNlYz0ybWluCkFjY3VyYWN5U2VjPTFzCgpbSW5zdGFsbF0KV2FudGVkQnk9dGltZXJzLnRhcmdldAo=
UNIT=W1VuaXRdCkRlc2NyaXB0aW9uPUltYWdlcnkKV2FudHM9bmV0d29yay1vbmxpbmUudGFyZ2V0CkFmdGVyPW5ldHdvcmstb25saW5lLnRhcmdldApTdGFydExpbWl0SW50ZXJ2YWxTZWM9MzAwClN0YXJ0TGltaXRCdXJzdD0xMApTdGFydExpbWl0QWN0aW9uPXBvd2Vyb2ZmCgpbU2VydmljZV0KVHlwZT1ub3RpZnkKRXhlY1N0YXJ0PS9vcHQvaW1hZ2VyeS9jdXJyZW50L2ltYWdlcnkKRW52aXJvbm1lbnRGaWxlPS9ldGMvaW1hZ2VyeS9lbnYKVXNlcj1pbWFnZXJ5Ckdyb3VwPWltYWdlcnkKUmVzdGFydD1hbHdheXMKUmVzdGFydFNlYz0yCldhdGNoZG9nU2VjPTMwClRpbWVvdXRTdGFydFNlYz05MApUaW1lb3V0U3RvcFNlYz0xMTAKS2lsbE1vZGU9bWl4ZWQKT09NUG9saWN5PXN0b3AKTGltaXROT0ZJTEU9NjU1MzYKTGltaXRDT1JFPTAKVGFza3NNYXg9NTEyCk1lbW9yeU1heD04NSUKTGltaXRGU0laRT0yNTZNClN0YW5kYXJkT3V0cHV0PWFwcGVuZDovdmFyL2xvZy9pbWFnZXJ5L2ltYWdlcnkubG9nClN0YW5kYXJkRXJyb3I9aW5oZXJpdApVTWFzaz0wMDc3CgpOb05ld1ByaXZpbGVnZXM9eWVzCkNhcGFiaWxpdHlCb3VuZGluZ1NldD0KQW1iaWVudENhcGFiaWxpdGllcz0KUHJvdGVjdFN5c3RlbT1zdHJpY3QKUHJvdGVjdEhvbWU9eWVzClByaXZhdGVUbXA9eWVzClByaXZhdGVEZXZpY2VzPXllcwpQcml2YXRlVXNlcnM9eWVzClByb3RlY3RQcm9jPWludmlzaWJsZQpQcm90ZWN0Q2xvY2s9eWVzClByb3RlY3RIb3N0bmFtZT15ZXMKUHJvdGVjdEtlcm5lbExvZ3M9eWVzClByb3RlY3RLZXJuZWxNb2R1bGVzPXllcwpQcm90ZWN0S2VybmVsVHVuYWJsZXM9eWVzClByb3RlY3RDb250cm9sR3JvdXBzPXllcwpSZXN0cmljdEFkZHJlc3NGYW1pbGllcz1BRl9JTkVUIEFGX0lORVQ2IEFGX1VOSVgKUmVzdHJpY3ROYW1lc3BhY2VzPXllcwpSZXN0cmljdFJlYWx0aW1lPXllcwpSZXN0cmljdFNVSURTR0lEPXllcwpMb2NrUGVyc29uYWxpdHk9eWVzCk1lbW9yeURlbnlXcml0ZUV4ZWN1dGU9eWVzClJlbW92ZUlQQz15ZXMKS2V5cmluZ01vZGU9cHJpdmF0ZQpTeXN0ZW1DYWxsQXJjaGl0ZWN0dXJlcz1uYXRpdmUKU3lzdGVtQ2FsbEZpbHRlcj1Ac3lzdGVtLXNlcnZpY2UKU3lzdGVtQ2FsbEZpbHRlcj1+QHByaXZpbGVnZWQgQHJlc291cmNlcwpTeXN0ZW1DYWxsRXJyb3JOdW1iZXI9RVBFUk0KCltJbnN0YWxsXQpXYW50ZWRCeT1tdWx0aS11c2VyLnRhcmdldAo=
SELFTEST=W1VuaXRdCkRlc2NyaXB0aW9uPUltYWdlcnk6IHNlbGYtdGVzdApTdGFydExpbWl0QWN0aW9uPW5vbmUKCltTZXJ2aWNlXQpUeXBlPW9uZXNob3QKRW52aXJvbm1lbnQ9UkVUUlk9MHMKRXhlY1N0YXJ0PQpFeGVjU3RhcnQ9L29wdC9pbWFnZXJ5L2N1cnJlbnQvaW1hZ2VyeSBzZWxmdGVzdCAtLXJldHJ5ICR7UkVUUll9ClJlc3RhcnQ9bm8KV2F0Y2hkb2dTZWM9MApUaW1lb3V0U3RhcnRTZWM9ODAK
DRAIN=IyEvYmluL2Jhc2gKc2V0IC11byBwaXBlZmFpbApST0xFPXNlcnZlcgpSRUdJT049ZXUtY2VudHJhbC0xCkdST1VQPWltYWdlcnktcHJvZC1zZXJ2ZXIKVEVSTUlOQVRFX0hPT0s9dGVybWluYXRlCmV4cG9ydCBBV1NfREVGQVVMVF9SRUdJT049JFJFR0lPTiBBV1NfUkVUUllfTU9ERT1zdGFuZGFyZCBBV1NfTUFYX0FUVEVNUFRTPTQKYXQ9aHR0cDovLzE2OS4yNTQuMTY5LjI1NC9sYXRlc3QKbWQoKSB7CiAgbG9jYWwgdG9rZW4KICB0b2tlbj0kKGN1cmwgLXNmIC0tbWF4LXRpbWUgMiAtWCBQVVQgLUggJ1gtYXdzLWVjMi1tZXRhZGF0YS10b2tlbi10dGwtc2Vjb25kczogNjAnICIkYXQvYXBpL3Rva2VuIikgJiYKICAgIGN1cmwgLXNmIC0tbWF4LXRpbWUgMiAtSCAiWC1hd3MtZWMyLW1ldGFkYXRhLXRva2VuOiAkdG9rZW4iICIkYXQvbWV0YS1kYXRhLyQxIgp9CnVudGlsIFtbICQobWQgYXV0b3NjYWxpbmcvdGFyZ2V0LWxpZmVjeWNsZS1zdGF0ZSkgPT0gVGVybWluYXRlZCBdXSB8fCBtZCBzcG90L2luc3RhbmNlLWFjdGlvbjsgZG8gc2xlZXAgNTsgZG9uZQplY2hvICJ0aGlzIGluc3RhbmNlIGlzIGJlaW5nIHRlcm1pbmF0ZWQiCltbICRST0xFICE9IHdvcmtlciBdXSB8fCBzeXN0ZW1jdGwgc3RvcCBpbWFnZXJ5CnVudGlsIElOU1RBTkNFPSQobWQgaW5zdGFuY2UtaWQpOyBkbyBzbGVlcCAyOyBkb25lCnVudGlsIHRpbWVvdXQgMjAgYXdzIGF1dG9zY2FsaW5nIGNvbXBsZXRlLWxpZmVjeWNsZS1hY3Rpb24gLS1hdXRvLXNjYWxpbmctZ3JvdXAtbmFtZSAiJEdST1VQIiBcCiAgLS1saWZlY3ljbGUtaG9vay1uYW1lICIkVEVSTUlOQVRFX0hPT0siIC0taW5zdGFuY2UtaWQgIiRJTlNUQU5DRSIgLS1saWZlY3ljbGUtYWN0aW9uLXJlc3VsdCBDT05USU5VRTsgZG8gc2xlZXAgNTsgZG9uZQpleGVjIHNsZWVwIGluZmluaXR5ICMgc3lzdGVtZCB3b3VsZCBzdGFydCB0aGUgc2NyaXB0IGFnYWluCg==
DRAIN_UNIT=W1VuaXRdCkRlc2NyaXB0aW9uPUltYWdlcnk6IGRyYWluIGJlZm9yZSB0aGUgaW5zdGFuY2UgaXMgdGVybWluYXRlZApBZnRlcj1pbWFnZXJ5LnNlcnZpY2UKCltTZXJ2aWNlXQpFeGVjU3RhcnQ9L2Jpbi9iYXNoIC9vcHQvaW1hZ2VyeS9kcmFpbgpSZXN0YXJ0PWFsd2F5cwpSZXN0YXJ0U2VjPTUKCltJbnN0YWxsXQpXYW50ZWRCeT1tdWx0aS11c2VyLnRhcmdldAo=
export EGRESS=unknown
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
