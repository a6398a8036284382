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
ROTATION=L3Zhci9sb2cvaW1hZ2VyeS9pbWFnZXJ5LmxvZyB7CiAgICBzdSBpbWFnZXJ5IGltYWdlcnkKICAgIHNpemUgNjRNCiAgICByb3RhdGUgMgogICAgY29weXRydW5jYXRlCiAgICBtaXNzaW5nb2sKICAgIG5vdGlmZW1wdHkKfQo=
UNIT=W1VuaXRdCkRlc2NyaXB0aW9uPUltYWdlcnkKV2FudHM9bmV0d29yay1vbmxpbmUudGFyZ2V0CkFmdGVyPW5ldHdvcmstb25saW5lLnRhcmdldApTdGFydExpbWl0SW50ZXJ2YWxTZWM9MzAwClN0YXJ0TGltaXRCdXJzdD0xMApTdGFydExpbWl0QWN0aW9uPXBvd2Vyb2ZmCgpbU2VydmljZV0KVHlwZT1ub3RpZnkKRXhlY1N0YXJ0PS9vcHQvaW1hZ2VyeS9jdXJyZW50L2ltYWdlcnkKRW52aXJvbm1lbnRGaWxlPS9ldGMvaW1hZ2VyeS9lbnYKVXNlcj1pbWFnZXJ5Ckdyb3VwPWltYWdlcnkKUmVzdGFydD1hbHdheXMKUmVzdGFydFNlYz0yCldhdGNoZG9nU2VjPTMwClRpbWVvdXRTdGFydFNlYz05MApUaW1lb3V0U3RvcFNlYz0xMTAKS2lsbE1vZGU9bWl4ZWQKT09NUG9saWN5PXN0b3AKTGltaXROT0ZJTEU9NjU1MzYKTGltaXRDT1JFPTAKVGFza3NNYXg9NTEyCk1lbW9yeU1heD04NSUKU3RhbmRhcmRPdXRwdXQ9YXBwZW5kOi92YXIvbG9nL2ltYWdlcnkvaW1hZ2VyeS5sb2cKU3RhbmRhcmRFcnJvcj1pbmhlcml0ClVNYXNrPTAwNzcKCiMgVGhlIHByb2Nlc3MgZGVjb2RlcyB3aGF0IHN0cmFuZ2VycyBzZW5kLiBJdCBtYXkgd3JpdGUgbm90aGluZywgYmVjb21lIG5vYm9keSBlbHNlIGFuZCBzZWUgbm9ib2R5IGVsc2UuIC9wcm9jL3N5cwojIHN0YXlzIHJlYWRhYmxlOiBHbyB0YWtlcyB0aGUgbGVuZ3RoIG9mIHRoZSBsaXN0ZW4gcXVldWUgZnJvbSB0aGVyZS4KTm9OZXdQcml2aWxlZ2VzPXllcwpDYXBhYmlsaXR5Qm91bmRpbmdTZXQ9CkFtYmllbnRDYXBhYmlsaXRpZXM9ClByb3RlY3RTeXN0ZW09c3RyaWN0ClByb3RlY3RIb21lPXllcwpQcml2YXRlVG1wPXllcwpQcml2YXRlRGV2aWNlcz15ZXMKUHJpdmF0ZVVzZXJzPXllcwpQcm90ZWN0UHJvYz1pbnZpc2libGUKUHJvdGVjdENsb2NrPXllcwpQcm90ZWN0SG9zdG5hbWU9eWVzClByb3RlY3RLZXJuZWxMb2dzPXllcwpQcm90ZWN0S2VybmVsTW9kdWxlcz15ZXMKUHJvdGVjdEtlcm5lbFR1bmFibGVzPXllcwpQcm90ZWN0Q29udHJvbEdyb3Vwcz15ZXMKUmVzdHJpY3RBZGRyZXNzRmFtaWxpZXM9QUZfSU5FVCBBRl9JTkVUNiBBRl9VTklYClJlc3RyaWN0TmFtZXNwYWNlcz15ZXMKUmVzdHJpY3RSZWFsdGltZT15ZXMKUmVzdHJpY3RTVUlEU0dJRD15ZXMKTG9ja1BlcnNvbmFsaXR5PXllcwpNZW1vcnlEZW55V3JpdGVFeGVjdXRlPXllcwpSZW1vdmVJUEM9eWVzCktleXJpbmdNb2RlPXByaXZhdGUKU3lzdGVtQ2FsbEFyY2hpdGVjdHVyZXM9bmF0aXZlClN5c3RlbUNhbGxGaWx0ZXI9QHN5c3RlbS1zZXJ2aWNlClN5c3RlbUNhbGxGaWx0ZXI9fkBwcml2aWxlZ2VkIEByZXNvdXJjZXMKIyBOb3QgYSBraWxsOiBHbyByYWlzZXMgaXRzIGxpbWl0IG9mIG9wZW4gZmlsZXMgYXQgdGhlIHN0YXJ0LCBhbmQgbGl2ZXMgd2l0aG91dC4KU3lzdGVtQ2FsbEVycm9yTnVtYmVyPUVQRVJNCgpbSW5zdGFsbF0KV2FudGVkQnk9bXVsdGktdXNlci50YXJnZXQK
SELFTEST=IyBUaGUgc2VsZnRlc3QgaXMgdGhlIHNlcnZpY2UncyBvd24gdW5pdCwgc28gdGhhdCB3aGF0IGl0IHByb3ZlcyBob2xkcyBpbiB0aGUgc2FtZSBzYW5kYm94LCBydW4gb25jZS4KW1VuaXRdCkRlc2NyaXB0aW9uPUltYWdlcnkgc2VsZnRlc3QKU3RhcnRMaW1pdEFjdGlvbj1ub25lCgpbU2VydmljZV0KVHlwZT1vbmVzaG90CkV4ZWNTdGFydD0KRXhlY1N0YXJ0PS9vcHQvaW1hZ2VyeS9jdXJyZW50L2ltYWdlcnkgc2VsZnRlc3QKUmVzdGFydD1ubwpXYXRjaGRvZ1NlYz0wClRpbWVvdXRTdGFydFNlYz0xMjAK
LEAVE=IyEvYmluL2Jhc2gKIyBXYXRjaGVzIGZvciB0aGUgZW5kIG9mIHRoaXMgaW5zdGFuY2UsIGFuZCBsZXRzIGl0IGdvIHdoZW4gbm90aGluZyB3b3VsZCBiZSBsb3N0IGJ5IHRoYXQuIEl0IGxpdmVzIGJlc2lkZSB0aGUKIyBzZXJ2aWNlLCB3aG9zZSBzdG9wIG9uIFNJR1RFUk0gaXMgdGhlIHNhbWUgZHJhaW4sIHNvIHRoYXQgYSBzZXJ2aWNlIHRoYXQgaGFuZ3MgaXMgbGVmdCBiZWhpbmQsIHRvby4Kc2V0IC11byBwaXBlZmFpbApST0xFPXNlcnZlcgpSRUdJT049ZXUtY2VudHJhbC0xCkdST1VQPWltYWdlcnktcHJvZC1zZXJ2ZXIKVEVSTUlOQVRFX0hPT0s9dGVybWluYXRlCmV4cG9ydCBBV1NfREVGQVVMVF9SRUdJT049JFJFR0lPTiBBV1NfUkVUUllfTU9ERT1zdGFuZGFyZCBBV1NfTUFYX0FUVEVNUFRTPTQKYXQ9aHR0cDovLzE2OS4yNTQuMTY5LjI1NC9sYXRlc3QKbWQoKSB7CiAgbG9jYWwgdG9rZW4KICB0b2tlbj0kKGN1cmwgLXNmIC0tbWF4LXRpbWUgMiAtWCBQVVQgLUggJ1gtYXdzLWVjMi1tZXRhZGF0YS10b2tlbi10dGwtc2Vjb25kczogNjAnICIkYXQvYXBpL3Rva2VuIikgJiYKICAgIGN1cmwgLXNmIC0tbWF4LXRpbWUgMiAtSCAiWC1hd3MtZWMyLW1ldGFkYXRhLXRva2VuOiAkdG9rZW4iICIkYXQvbWV0YS1kYXRhLyQxIgp9CiMgQXV0byBTY2FsaW5nIHdhbnRzIHRoZSBpbnN0YW5jZSBnb25lLCBvciBFQzIgdGFrZXMgaXQgYmFjayBpbiB0d28gbWludXRlcyAodGhhdCBwYXRoIGlzIGEgNDA0IHVudGlsIHRoZW4pLgp1bnRpbCBbWyAkKG1kIGF1dG9zY2FsaW5nL3RhcmdldC1saWZlY3ljbGUtc3RhdGUpID09IFRlcm1pbmF0ZWQgXV0gfHwgbWQgc3BvdC9pbnN0YW5jZS1hY3Rpb247IGRvIHNsZWVwIDU7IGRvbmUKZWNobyAidGhpcyBpbnN0YW5jZSBpcyBhYm91dCB0byBlbmQiCiMgQSB3b3JrZXIgc3RvcHMgcmVjZWl2aW5nIGFuZCBmaW5pc2hlcyB3aGF0IGl0IGhvbGRzLiBBIHNlcnZlcidzIHJlcXVlc3RzIGVuZCB3aXRoIGl0cyBkZXJlZ2lzdHJhdGlvbiwgd2hpY2ggY29tZXMKIyBiZWZvcmUgdGhlIGhvb2s7IHN0b3BwZWQgZWFybGllciwgaXQgd291bGQgY3V0IHRoZW0uCltbICRST0xFICE9IHdvcmtlciBdXSB8fCBzeXN0ZW1jdGwgc3RvcCBpbWFnZXJ5CiMgVGhlcmUgaXMgbm90aGluZyB0byBjb21wbGV0ZSBiZWZvcmUgVGVybWluYXRpbmc6V2FpdDsgaWYgaXQgbmV2ZXIgd29ya3MsIHRoZSBob29rIHJ1bnMgb3V0IGJ5IGl0c2VsZi4KdW50aWwgSU5TVEFOQ0U9JChtZCBpbnN0YW5jZS1pZCk7IGRvIHNsZWVwIDI7IGRvbmUKdW50aWwgdGltZW91dCAyMCBhd3MgYXV0b3NjYWxpbmcgY29tcGxldGUtbGlmZWN5Y2xlLWFjdGlvbiAtLWF1dG8tc2NhbGluZy1ncm91cC1uYW1lICIkR1JPVVAiIFwKICAtLWxpZmVjeWNsZS1ob29rLW5hbWUgIiRURVJNSU5BVEVfSE9PSyIgLS1pbnN0YW5jZS1pZCAiJElOU1RBTkNFIiAtLWxpZmVjeWNsZS1hY3Rpb24tcmVzdWx0IENPTlRJTlVFOyBkbyBzbGVlcCA1OyBkb25lCmV4ZWMgc2xlZXAgaW5maW5pdHkgIyBlbHNlIHN5c3RlbWQgd291bGQgc3RhcnQgdGhlIHdhdGNoIGFnYWluCg==
LEAVE_UNIT=W1VuaXRdCkRlc2NyaXB0aW9uPUltYWdlcnk6IGxlYXZlIGJlZm9yZSB0aGUgaW5zdGFuY2UgaXMgdGFrZW4KQWZ0ZXI9aW1hZ2VyeS5zZXJ2aWNlCgpbU2VydmljZV0KRXhlY1N0YXJ0PS9iaW4vYmFzaCAvb3B0L2ltYWdlcnkvbGVhdmUKUmVzdGFydD1hbHdheXMKUmVzdGFydFNlYz01CgpbSW5zdGFsbF0KV2FudGVkQnk9bXVsdGktdXNlci50YXJnZXQK
export EGRESS=unknown
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
