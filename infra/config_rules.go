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

	"imagery/app/deploy/instances"
	"imagery/app/deploy/settings"
	"imagery/infra/data"
	"imagery/infra/edge"
	"imagery/infra/network"
)

// maxNameLength keeps "<project>-<stack>-lb" and Pulumi's suffix of eight characters within 32, the longest name of a
// load balancer.
const maxNameLength = 21

// maxInboundRules is the highest value of AWS's quota L-0EA8095F, inbound rules per security group. Its default is 60;
// the preflight checks the account's value. Every range of allowedCidrs needs one rule, with a certificate two.
const maxInboundRules = 1000

var (
	nameForm      = regexp.MustCompile(`^[a-z][a-z0-9-]*[a-z0-9]$`)
	regionForm    = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d$`)
	partitionForm = regexp.MustCompile(`^(cn-|us-gov-|us-iso|eu-iso|eusc-)`)
	zoneForm      = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d[a-z]$`)
	amiForm       = regexp.MustCompile(`^ami-[0-9a-f]{8,17}$`)
	accountForm   = regexp.MustCompile(`^\d{12}$`)
	boundaryForm  = regexp.MustCompile(`^arn:aws[a-z-]*:iam::(\d{12}|aws):policy/([!-~]+/)?[\w+=,.@-]{1,128}$`)
	tagForm       = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
	certForm      = regexp.MustCompile(`^arn:aws[a-z-]*:acm:([a-z0-9-]+):\d{12}:certificate/[0-9A-Za-z-]+$`)
)

// retentions lists the periods that CloudWatch Logs accepts, in days.
var retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
	3288, 3653}

// problems checks the rules between keys and those of AWS. It skips zero values: they could not be read, and LoadConfig
// has reported them.
func (c Config) problems() []string {
	var bad []string
	add := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	c.checkNames(add)
	c.checkAccountKeys(add)
	c.checkTags(add)
	c.checkNetwork(add)
	c.checkFleet(add, settings.Server)
	c.checkFleet(add, settings.Worker)
	if c.AMIID != "" && !amiForm.MatchString(c.AMIID) {
		add("imagery:amiId %q is not an image id such as ami-0123456789abcdef0", c.AMIID)
	}
	if c.AMIID != "" && c.AMIFollow {
		add("imagery:amiId pins the image and imagery:amiFollow follows it: set one of them")
	}
	if c.AlarmEmail != "" {
		if a, err := mail.ParseAddress(c.AlarmEmail); err != nil || a.Address != c.AlarmEmail {
			add("imagery:alarmEmail %q is not an e-mail address", c.AlarmEmail)
		}
	}
	if c.LogRetentionDays != 0 && !slices.Contains(retentions, c.LogRetentionDays) {
		add("imagery:logRetentionDays %d is not a period that CloudWatch accepts: %v", c.LogRetentionDays, retentions)
	}
	// A dead letter can be redriven on its last day, and the worker then needs the original.
	if c.UploadExpireDays != 0 && c.UploadExpireDays <= data.DeadLetterDays {
		add("imagery:uploadExpireDays %d: must be above %d, the days that a dead letter is kept, "+
			"since a redrive needs the original", c.UploadExpireDays, data.DeadLetterDays)
	}
	return bad
}

// unknown reports misspelt keys, whose values would otherwise be ignored.
func unknown(given []string) []string {
	var bad []string
	for _, name := range given {
		if !slices.ContainsFunc(keys, func(k key) bool { return k.name == name }) {
			bad = append(bad, fmt.Sprintf("imagery:%s is not a key; docs/aws.md lists all keys", name))
		}
	}
	return bad
}

func (c Config) checkNames(add func(string, ...any)) {
	if n := c.Name(); len(n) > maxNameLength || !nameForm.MatchString(n) {
		add("stack %q: %q must be lower-case letters, digits and hyphens, at most %d of them (load balancer names end "+
			"at 32)", c.Stack, n, maxNameLength)
	}
	if name := partitions[partitionForm.FindString(c.Region)]; name != "" {
		add("aws:region %s is in %s, which is not supported: ARNs, prices and policies are those of AWS's "+
			"commercial regions", c.Region, name)
	} else if !regionForm.MatchString(c.Region) {
		add("aws:region %q: set it, for example `pulumi config set aws:region eu-central-1`", c.Region)
	}
	if m := certForm.FindStringSubmatch(c.CertificateARN); c.CertificateARN != "" && m == nil {
		add("imagery:certificateArn %q is not the ARN of an ACM certificate", c.CertificateARN)
	} else if m != nil && m[1] != c.Region {
		add("imagery:certificateArn is in region %s, the load balancer in %s", m[1], c.Region)
	}
}

// partitions maps what matches partitionForm to the name of a partition that is not the commercial one.
var partitions = map[string]string{"cn-": "AWS China", "us-gov-": "AWS GovCloud (US)",
	"us-iso": "an AWS isolated partition", "eu-iso": "an AWS isolated partition",
	"eusc-": "the AWS European Sovereign Cloud"}

// checkAccountKeys checks the keys that refer to an AWS account.
func (c Config) checkAccountKeys(add func(string, ...any)) {
	if c.AccountID != "" && !accountForm.MatchString(c.AccountID) {
		add("imagery:accountId %q is not the 12 digits of an AWS account", c.AccountID)
	}
	m := boundaryForm.FindStringSubmatch(c.PermissionsBoundary)
	if c.PermissionsBoundary != "" && m == nil {
		add("imagery:permissionsBoundary %q is not the ARN of an IAM policy", c.PermissionsBoundary)
	} else if m != nil && c.AccountID != "" && m[1] != "aws" && m[1] != c.AccountID {
		add("imagery:permissionsBoundary belongs to account %s, imagery:accountId is %s", m[1], c.AccountID)
	}
}

// maxUserTags limits the tags that a user may add: an object in S3 has ten at most, and three are the program's.
const maxUserTags = 7

// checkTags checks the user's tags against AWS's limits. IAM treats names that differ only in case as one name.
func (c Config) checkTags(add func(string, ...any)) {
	names := map[string]string{}
	for name := range c.ownTags() {
		names[name] = "this program"
	}
	for _, from := range []struct {
		key  string
		tags map[string]string
	}{{"imagery:tags", c.Tags}, {"aws:defaultTags", c.AWS.DefaultTags.Tags}} {
		for _, name := range slices.Sorted(maps.Keys(from.tags)) {
			value, low := from.tags[name], strings.ToLower(name)
			_, ours := c.Tags[name]
			switch n := utf8.RuneCountInString(name); {
			case n < 1 || n > 128 || !tagForm.MatchString(name):
				add("%s: %q is not a valid tag name: 1 to 128 letters, digits, spaces and _.:/=+-@", from.key, name)
			case strings.HasPrefix(low, "aws:"):
				add("%s: %q begins with aws:, which AWS reserves", from.key, name)
			case utf8.RuneCountInString(value) > 256 || !tagForm.MatchString(value):
				add("%s: the value of %q is not valid: up to 256 letters, digits, spaces and _.:/=+-@", from.key, name)
			case names[low] != "" && !(from.key == "aws:defaultTags" && ours): // imagery:tags win
				add("%s: %q is set by %s already", from.key, name, names[low])
			}
			names[low] = from.key
		}
	}
	if n := len(c.tags()) - len(c.ownTags()); n > maxUserTags {
		add("imagery:tags and aws:defaultTags are %d tags together, at most %d are allowed", n, maxUserTags)
	}
}

func (c Config) checkNetwork(add func(string, ...any)) {
	if len(c.AZs) > 0 && len(c.AZs) != c.AZCount && c.AZCount != 0 {
		add("imagery:azs names %d zones, imagery:azCount says %d", len(c.AZs), c.AZCount)
	}
	for i, z := range c.AZs {
		if !zoneForm.MatchString(z) || !strings.HasPrefix(z, c.Region) {
			add("imagery:azs: %q is not a zone of %s", z, c.Region)
		}
		if slices.Index(c.AZs, z) != i {
			add("imagery:azs: %s is named twice", z)
		}
	}
	// The load balancer has IPv4 addresses only.
	for i, cidr := range c.AllowedCIDRs {
		if p, err := netip.ParsePrefix(cidr); err != nil || !p.Addr().Is4() || p != p.Masked() {
			add("imagery:allowedCidrs: %q is not an IPv4 range such as 203.0.113.0/24", cidr)
		}
		if slices.Index(c.AllowedCIDRs, cidr) != i {
			add("imagery:allowedCidrs: %s is named twice", cidr)
		}
	}
	if n := edge.InboundRules(len(c.AllowedCIDRs), c.CertificateARN); n > maxInboundRules {
		add("imagery:allowedCidrs: %d ranges need %d inbound rules of one security group, AWS allows %d "+
			"at most (quota L-0EA8095F): use fewer, wider ranges", len(c.AllowedCIDRs), n, maxInboundRules)
	}
}

// checkFleet checks the size and the instance type of a role's group.
func (c Config) checkFleet(add func(string, ...any), role settings.Role) {
	f := c.fleet(role)
	if f.least != 0 && f.most != 0 && f.most <= f.least {
		add("imagery:%sMax %d must be above imagery:%[1]sMin %d: a replacement starts before the old instance stops",
			role, f.most, f.least)
	}
	if c.Profile == Prod && f.least == 1 {
		add("imagery:%sMin 1: prod needs at least 2, so that the loss of one instance is not an outage", role)
	}
	if t, ok := instances.Types[f.instance]; !ok {
		add("imagery:%sType %q is not one of the known instance types: %s", role, f.instance,
			strings.Join(instances.Names(c.Arch), ", "))
	} else if c.Arch != "" && t.Arch != c.Arch {
		add("imagery:%sType %s is %s, imagery:arch is %s", role, f.instance, t.Arch, c.Arch)
	}
}

// warnings lists legal choices that are probably unintended.
func (c Config) warnings() []string {
	var w []string
	if c.Profile == Prod && !c.ProtectData {
		w = append(w, "protectData is false in prod: `pulumi destroy` will delete every photo")
	}
	if c.Egress == network.NAT && c.AZCount == 3 {
		w = append(w, "egress nat has one NAT gateway for three zones: if its zone fails, no instance reaches AWS; "+
			"natPerAz and endpoints do not depend on one zone")
	}
	if c.CertificateARN == "" && c.Profile == Prod {
		w = append(w, "certificateArn is not set in prod: photos and links are sent unencrypted, over plain HTTP")
	}
	if c.AlarmEmail == "" && c.Profile == Prod {
		w = append(w, "alarmEmail is not set: no one is notified when an alarm fires")
	}
	return w
}
