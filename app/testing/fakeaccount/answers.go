package fakeaccount

import "strconv"

// healthy returns the answers of a stack as infra makes it, for calls that the emulators do not support.
func healthy() map[string]answer {
	return map[string]answer{
		"sts:GetCallerIdentity": {
			200, result("GetCallerIdentity", "<Arn>arn:aws:iam::"+ID+":user/ops</Arn><UserId>AIDA</UserId><Account>"+ID+
				"</Account>")},
		"sns:GetTopicAttributes": {
			200, result("GetTopicAttributes", "<Attributes><entry><key>DisplayName</key><value></value></entry></Attributes>")},
		"autoscaling:DescribeAutoScalingInstances": {
			200, result("DescribeAutoScalingInstances", "<AutoScalingInstances></AutoScalingInstances>")},
		"s3:GetPublicAccessBlock": {
			200, `<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true` +
				`</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy>` +
				`<RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>`},
		"s3:GetBucketPolicyStatus":           {200, `<PolicyStatus><IsPublic>false</IsPublic></PolicyStatus>`},
		"s3:GetBucketLifecycleConfiguration": {200, Lifecycle("upload/", 30)},
		"dynamodb:DescribeTable":             {200, Table},
		"dynamodb:DescribeTimeToLive": {
			200, `{"TimeToLiveDescription":{"AttributeName":"expires","TimeToLiveStatus":"ENABLED"}}`},
		"dynamodb:DescribeContinuousBackups": {
			200, `{"ContinuousBackupsDescription":{"ContinuousBackupsStatus":"ENABLED",` +
				`"PointInTimeRecoveryDescription":{"PointInTimeRecoveryStatus":"ENABLED","RecoveryPeriodInDays":35}}}`},
	}
}

// result returns an answer of the Query protocol.
func result(operation, body string) string {
	return "<" + operation + "Response><" + operation + "Result>" + body + "</" + operation + "Result></" + operation +
		"Response>"
}

// Table is the description of a table as it should be.
const Table = `{"Table":{"TableName":"imagery-test","TableStatus":"ACTIVE","DeletionProtectionEnabled":true,
"BillingModeSummary":{"BillingMode":"PAY_PER_REQUEST"},
"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"pending","AttributeType":"S"},
{"AttributeName":"updated","AttributeType":"N"}],
"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
"GlobalSecondaryIndexes":[{"IndexName":"pending-index","IndexStatus":"ACTIVE",
"Projection":{"ProjectionType":"KEYS_ONLY"},
"KeySchema":[{"AttributeName":"pending","KeyType":"HASH"},{"AttributeName":"updated","KeyType":"RANGE"}]}]}}`

// Lifecycle is a bucket's answer with one rule.
func Lifecycle(prefix string, days int) string {
	return `<LifecycleConfiguration><Rule><ID>unfinished</ID><Status>Enabled</Status><Filter><Prefix></Prefix>` +
		`</Filter><AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation>` +
		`</AbortIncompleteMultipartUpload></Rule><Rule><ID>expire</ID><Status>Enabled</Status><Filter><Prefix>` + prefix +
		`</Prefix></Filter><Expiration><Days>` + strconv.Itoa(days) + `</Days></Expiration></Rule></LifecycleConfiguration>`
}

// Refusal is an AccessDenied error in the formats of S3 and of the query protocols.
const Refusal = `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to ` +
	`perform this</Message></Error><Code>AccessDenied</Code>` +
	`<Message>not authorized to perform this</Message></ErrorResponse>`

// RefusalJSON is the same in the format of DynamoDB, SQS and the tagging API.
const RefusalJSON = `{"__type":"com.amazonaws#AccessDeniedException","message":"not authorized to perform this"}`
