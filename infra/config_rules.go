package main

import (
	"fmt"
	"maps"
	"net/mail"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"imagery/infra/data"
	"imagery/infra/edge"
	"imagery/infra/network"
)

// maxNameLength keeps "<project>-<stack>-lb" plus Pulumi's eight characters within the 32 of a load balancer.
const maxNameLength = 21

// maxInboundRules is the most that AWS's quota L-0EA8095F, inbound rules per security group, can be raised to; its
// default is 60, and the preflight asks for the account's. Every range of allowedCidrs takes one, with a certificate
// two.
const maxInboundRules = 1000

var (
	nameForm     = regexp.MustCompile(`^[a-z][a-z0-9-]*[a-z0-9]$`)
	regionForm   = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d$`)
	zoneForm     = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d[a-z]$`)
	amiForm      = regexp.MustCompile(`^ami-[0-9a-f]{8,17}$`)
	accountForm  = regexp.MustCompile(`^\d{12}$`)
	boundaryForm = regexp.MustCompile(`^arn:aws[a-z-]*:iam::(\d{12}|aws):policy/([!-~]+/)?[\w+=,.@-]{1,128}$`)
	tagForm      = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
	certForm     = regexp.MustCompile(`^arn:aws[a-z-]*:acm:([a-z0-9-]+):\d{12}:certificate/[0-9A-Za-z-]+$`)
)

// retentions are the only periods that CloudWatch Logs accepts.
var retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// problems are the rules that cross keys or know AWS. Values that could not be read are zero here and skipped:
// they have been reported already.
func (c Config) problems() []string {
	var bad []string
	say := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	c.checkNames(say)
	c.checkAccountKeys(say)
	c.checkTags(say)
	c.checkNetwork(say)
	c.checkFleet(say, "server", c.ServerType, c.ServerMin, c.ServerMax)
	c.checkFleet(say, "worker", c.WorkerType, c.WorkerMin, c.WorkerMax)
	if c.AMIID != "" && !amiForm.MatchString(c.AMIID) {
		say("imagery:amiId %q is not an image id such as ami-0123456789abcdef0", c.AMIID)
	}
	if c.AMIID != "" && c.AMIFollow {
		say("imagery:amiId pins the image and imagery:amiFollow follows it: set one of them")
	}
	if c.AlarmEmail != "" {
		if a, err := mail.ParseAddress(c.AlarmEmail); err != nil || a.Address != c.AlarmEmail {
			say("imagery:alarmEmail %q is not an e-mail address", c.AlarmEmail)
		}
	}
	if c.LogRetentionDays != 0 && !slices.Contains(retentions, c.LogRetentionDays) {
		say("imagery:logRetentionDays %d is none of the periods of CloudWatch: %v", c.LogRetentionDays, retentions)
	}
	// A dead letter may be sent again on its last day; its original must still be there.
	if c.UploadExpireDays != 0 && c.UploadExpireDays <= data.DeadLetterDays {
		say("imagery:uploadExpireDays %d: originals must outlive the %d days of a dead letter, or sending it again cannot work",
			c.UploadExpireDays, data.DeadLetterDays)
	}
	return bad
}

// unknown finds misspelt keys, which would else be defaults in silence.
func unknown(given []string) []string {
	var bad []string
	for _, name := range given {
		if !slices.ContainsFunc(keys, func(k key) bool { return k.name == name }) {
			bad = append(bad, fmt.Sprintf("imagery:%s is not a key; see docs/aws.md for the list", name))
		}
	}
	return bad
}

func (c Config) checkNames(say func(string, ...any)) {
	if n := c.Name(); len(n) > maxNameLength || !nameForm.MatchString(n) {
		say("stack %q: %q must be lower-case letters, digits and hyphens, at most %d of them (load balancer names end at 32)",
			c.Stack, n, maxNameLength)
	}
	if name := partitionOf(c.Region); name != "" {
		say("aws:region %s is in %s, on which Imagery was never tried: its names, prices and policies are those of AWS's "+
			"commercial regions", c.Region, name)
	} else if !regionForm.MatchString(c.Region) {
		say("aws:region %q: set it, for example `pulumi config set aws:region eu-central-1`", c.Region)
	}
	if m := certForm.FindStringSubmatch(c.CertificateARN); c.CertificateARN != "" && m == nil {
		say("imagery:certificateArn %q is not the ARN of an ACM certificate", c.CertificateARN)
	} else if m != nil && m[1] != c.Region {
		say("imagery:certificateArn is of region %s, the load balancer of %s", m[1], c.Region)
	}
}

// partitionOf returns the name of the partition of a region, and "" for the commercial one.
func partitionOf(region string) string {
	for _, p := range [][2]string{
		{"cn-", "AWS China"}, {"us-gov-", "AWS GovCloud (US)"}, {"us-iso", "an AWS isolated partition"},
		{"eu-iso", "an AWS isolated partition"},
		{"eusc-", "the AWS European Sovereign Cloud"},
	} {
		if strings.HasPrefix(region, p[0]) {
			return p[1]
		}
	}
	return ""
}

// checkAccountKeys checks what belongs to one AWS account.
func (c Config) checkAccountKeys(say func(string, ...any)) {
	if c.AccountID != "" && !accountForm.MatchString(c.AccountID) {
		say("imagery:accountId %q is not the 12 digits of an AWS account", c.AccountID)
	}
	m := boundaryForm.FindStringSubmatch(c.Boundary)
	if c.Boundary != "" && m == nil {
		say("imagery:permissionsBoundary %q is not the ARN of an IAM policy", c.Boundary)
	} else if m != nil && c.AccountID != "" && m[1] != "aws" && m[1] != c.AccountID {
		say("imagery:permissionsBoundary is of account %s, imagery:accountId is %s", m[1], c.AccountID)
	}
}

func hasKey(m map[string]string, k string) bool { _, ok := m[k]; return ok }

// mostTags limits the tags that a user may add: an object in S3 takes ten, and three are ours.
const mostTags = 7

// checkTags holds the tags of a user against AWS's limits. Names that differ only in case are one name for IAM.
func (c Config) checkTags(say func(string, ...any)) {
	names := map[string]string{}
	for name := range c.ownTags() {
		names[name] = "this program"
	}
	for _, from := range []struct {
		key  string
		tags map[string]string
	}{{"imagery:tags", c.Tags}, {"aws:defaultTags", c.AWS.DefaultTags}} {
		for _, name := range slices.Sorted(maps.Keys(from.tags)) {
			value, low := from.tags[name], strings.ToLower(name)
			switch n := utf8.RuneCountInString(name); {
			case n < 1 || n > 128 || !tagForm.MatchString(name):
				say("%s: %q cannot be the name of a tag: 1 to 128 letters, digits, spaces and _.:/=+-@", from.key, name)
			case strings.HasPrefix(low, "aws:"):
				say("%s: %q begins with aws:, which is AWS's own", from.key, name)
			case utf8.RuneCountInString(value) > 256 || !tagForm.MatchString(value):
				say("%s: the value of %q has more than 256 characters, or others than letters, digits, spaces and _.:/=+-@",
					from.key, name)
			case names[low] != "" && !(from.key == "aws:defaultTags" && hasKey(c.Tags, name)): // imagery:tags win
				say("%s: %q is set by %s already", from.key, name, names[low])
			}
			names[low] = from.key
		}
	}
	if n := len(c.tags()) - len(c.ownTags()); n > mostTags {
		say("imagery:tags and aws:defaultTags are %d tags, %d fit beside those of the program", n, mostTags)
	}
}

func (c Config) checkNetwork(say func(string, ...any)) {
	if len(c.AZs) > 0 && len(c.AZs) != c.AZCount && c.AZCount != 0 {
		say("imagery:azs names %d zones, imagery:azCount says %d", len(c.AZs), c.AZCount)
	}
	for i, z := range c.AZs {
		if !zoneForm.MatchString(z) || !strings.HasPrefix(z, c.Region) {
			say("imagery:azs: %q is not a zone of %s", z, c.Region)
		}
		if slices.Index(c.AZs, z) != i {
			say("imagery:azs: %s is named twice", z)
		}
	}
	// The load balancer speaks IPv4 only.
	for i, cidr := range c.AllowedCIDRs {
		if p, err := netip.ParsePrefix(cidr); err != nil || !p.Addr().Is4() || p != p.Masked() {
			say("imagery:allowedCidrs: %q is not an IPv4 range such as 203.0.113.0/24", cidr)
		}
		if slices.Index(c.AllowedCIDRs, cidr) != i {
			say("imagery:allowedCidrs: %s is named twice", cidr)
		}
	}
	if n := edge.InboundRules(len(c.AllowedCIDRs), c.CertificateARN); n > maxInboundRules {
		say("imagery:allowedCidrs: %d ranges need %d inbound rules of one security group, AWS allows %d "+
			"at most (quota L-0EA8095F): name wider ranges", len(c.AllowedCIDRs), n, maxInboundRules)
	}
}

// checkFleet holds an instance type against the budget without which the role's process refuses to start.
func (c Config) checkFleet(say func(string, ...any), role, kind string, least, most int) {
	if least != 0 && most != 0 && most <= least {
		say("imagery:%sMax %d must be above imagery:%sMin %d: a replacement starts before the old instance goes", role, most, role, least)
	}
	if c.Profile == Prod && least == 1 {
		say("imagery:%sMin 1: prod needs two, or the death of one is an outage", role)
	}
	t, ok := instanceTypes[kind]
	switch {
	case !ok:
		say("imagery:%sType %q is not in the table of known instance types: %s", role, kind, strings.Join(typesOf(c.Arch), ", "))
	case c.Arch != "" && t.arch != c.Arch:
		say("imagery:%sType %s is %s, imagery:arch says %s", role, kind, t.arch, c.Arch)
	}
}

// warnings lists legal choices that are probably unintended.
func (c Config) warnings() []string {
	var w []string
	if c.Profile == Prod && !c.ProtectData {
		w = append(w, "protectData is false in prod: `pulumi destroy` will delete every photo")
	}
	if c.Egress == network.NAT && c.AZCount == 3 {
		w = append(w, "egress nat keeps one NAT gateway for three zones: the loss of its zone cuts all instances off; natPerAz and endpoints do not have this")
	}
	if c.CertificateARN == "" && c.Profile == Prod {
		w = append(w, "certificateArn is not set in prod: photos and links travel unencrypted, over plain HTTP")
	}
	if c.AlarmEmail == "" && c.Profile == Prod {
		w = append(w, "alarmEmail is not set: no one is notified when an alarm fires")
	}
	return w
}
