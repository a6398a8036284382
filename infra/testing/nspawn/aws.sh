#!/bin/bash
# The two calls of the AWS CLI that a boot makes, in the CLI's words and exit codes.
set -u
call="$1 $2"
shift 2
declare -A o=()
file=
while (($#)); do
  case $1 in
    --*) o[${1#--}]=$2; shift 2 ;;
    *) file=$1; shift ;;
  esac
done
refuse() {
  echo "An error occurred ($1) when calling the $2 operation: $3" >&2
  exit 254
}
# The credentials are those of the instance's role, as the CLI takes them. Signatures are not checked.
metadata=http://169.254.169.254/latest
token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$metadata/api/token")
key=$(curl -s -H "X-aws-ec2-metadata-token: $token" "$metadata/meta-data/iam/security-credentials/instance" |
  sed -n 's/.*"AccessKeyId":"\([^"]*\)".*/\1/p')
credential="Credential=$key/0/$AWS_DEFAULT_REGION"
case $call in
  's3api get-object')
    code=$(curl -s -o "$file" -w '%{http_code}' --max-time 50 -H "Authorization: AWS4-HMAC-SHA256 $credential/s3/aws4_request" "$AWS_ENDPOINT_URL/${o[bucket]}/${o[key]}?x-id=GetObject") || {
      echo "Could not connect to the endpoint URL" >&2
      exit 255
    }
    case $code in
      200) ;;
      403) refuse AccessDenied GetObject "$(sed -n 's:.*<Message>\(.*\)</Message>.*:\1:p' "$file")" ;;
      404) refuse NoSuchKey GetObject "The specified key does not exist." ;;
      *) refuse InternalError GetObject "HTTP $code" ;;
    esac
    ;;
  'autoscaling complete-lifecycle-action')
    answer=$(curl -s --max-time 15 -H "Authorization: AWS4-HMAC-SHA256 $credential/autoscaling/aws4_request" -w '%{http_code}' "$AWS_ENDPOINT_URL_AUTO_SCALING" -d Action=CompleteLifecycleAction -d Version=2011-01-01 \
      -d "AutoScalingGroupName=${o[auto-scaling-group-name]}" -d "LifecycleHookName=${o[lifecycle-hook-name]}" \
      -d "InstanceId=${o[instance-id]}" -d "LifecycleActionResult=${o[lifecycle-action-result]}") || exit 255
    [[ $answer != *403 ]] || refuse AccessDenied CompleteLifecycleAction "$answer"
    [[ $answer == *200 ]] || refuse ValidationError CompleteLifecycleAction "$answer"
    ;;
  *) exit 252 ;;
esac
