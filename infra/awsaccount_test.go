package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// stsDouble is a fake STS. The access key of an assumed role is the role's name. The account of an identity is that of
// its role, or 111122223333.
type stsDouble struct {
	mu    sync.Mutex
	calls []url.Values
	as    []string // access key that signed each call
}

func (s *stsDouble) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, err := url.ParseQuery(string(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ = strings.Cut(key, "/")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.as = append(s.calls, form), append(s.as, key)
	action := form.Get("Action")
	if action == "GetCallerIdentity" {
		account := "111122223333"
		if strings.HasPrefix(key, "role-") {
			account = "444455556666"
		}
		fmt.Fprintf(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Account>%s</Account>`+
			`</GetCallerIdentityResult></GetCallerIdentityResponse>`, account)
		return
	}
	arn := form.Get("RoleArn")
	fmt.Fprintf(w, `<%[1]sResponse><%[1]sResult><Credentials><AccessKeyId>role-%[2]s</AccessKeyId>`+
		`<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%[3]s</Expiration></Credentials>`+
		`</%[1]sResult></%[1]sResponse>`, action, arn[strings.LastIndex(arn, "/")+1:],
		time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
}

func TestRolesAreAssumedInAChain(t *testing.T) {
	isolate(t)
	double := &stsDouble{}
	server := httptest.NewServer(double)
	defer server.Close()
	a := settingsOf(t, map[string]string{
		"region": region, "endpoints": `[{"sts":"` + server.URL + `"}]`,
		"assumeRoleWithWebIdentity": `{"roleArn":"arn:aws:iam::444455556666:role/first","webIdentityToken":"a-token",
			"policy":"","webIdentityTokenFile":""}`,
		"assumeRole": `{"roleArn":"arn:aws:iam::444455556666:role/second","sessionName":"deploy","externalId":"x-1",
			"duration":"30m","policy":"{}","policyArns":["arn:aws:iam::aws:policy/ReadOnlyAccess"],"tags":{"team":"photos"},
			"transitiveTagKeys":["team"],"sourceIdentity":"ann"}`,
		"allowedAccountIds": `["444455556666"]`,
	})
	cfg, err := a.sdk(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c, err := cfg.Credentials.Retrieve(t.Context()); err != nil || c.AccessKeyID != "role-second" {
		t.Errorf("%v, %v", c.AccessKeyID, err)
	}
	if len(double.calls) != 3 || !slices.Equal(double.as, []string{"", "role-first", "role-second"}) {
		t.Fatalf("%d calls as %q", len(double.calls), double.as)
	}
	for i, want := range []map[string]string{
		{"Action": "AssumeRoleWithWebIdentity", "WebIdentityToken": "a-token"},
		{"Action": "AssumeRole", "RoleArn": "arn:aws:iam::444455556666:role/second", "RoleSessionName": "deploy",
			"ExternalId": "x-1", "DurationSeconds": "1800", "Policy": "{}", "SourceIdentity": "ann",
			"PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/ReadOnlyAccess", "Tags.member.1.Key": "team",
			"Tags.member.1.Value": "photos", "TransitiveTagKeys.member.1": "team"},
		{"Action": "GetCallerIdentity"},
	} {
		for k, v := range want {
			if got := double.calls[i].Get(k); got != v {
				t.Errorf("call %d: %s is %q, want %q", i+1, k, got, v)
			}
		}
	}
}

func TestClientsRefuseOtherAccounts(t *testing.T) {
	isolate(t)
	server := httptest.NewServer(&stsDouble{})
	defer server.Close()
	base := map[string]string{"region": region, "accessKey": "k", "secretKey": "s",
		"endpoints": `{"sts":"` + server.URL + `"}`}
	for name, test := range map[string]struct {
		keys    map[string]string
		account string
		problem string
	}{
		"allowed":     {map[string]string{"allowedAccountIds": `["111122223333"]`}, "", ""},
		"as a number": {map[string]string{"allowedAccountIds": `[111122223333]`}, "", ""},
		"not allowed": {map[string]string{"allowedAccountIds": `["999999999999"]`}, "", "allows 999999999999"},
		"forbidden":   {map[string]string{"forbiddenAccountIds": `["111122223333"]`}, "", "forbids"},
		"the stack's": {nil, "111122223333", ""},
		"another":     {nil, "999999999999", "to AWS account 111122223333, the stack to account 999999999999"},
	} {
		keys := maps.Clone(base)
		maps.Copy(keys, test.keys)
		a := settingsOf(t, keys)
		a.account = test.account
		_, err := a.sdk(t.Context())
		if (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s: %v, want %q", name, err, test.problem)
		}
	}
}

// The account of the mock cloud is 111122223333.
func TestWrongAccountIsNotChanged(t *testing.T) {
	for problem, keys := range map[string]map[string]string{
		"account 111122223333, imagery:accountId is 999999999999": {"imagery:accountId": "999999999999"},
		"account 111122223333, aws:allowedAccountIds allows 999":  {"aws:allowedAccountIds": `["999999999999"]`},
		"account 111122223333, which aws:forbiddenAccountIds":     {"aws:forbiddenAccountIds": `["111122223333"]`},
	} {
		g, err := withKeys(t, keys)
		if err == nil || !strings.Contains(err.Error(), problem) || awsResources(g) > 0 {
			t.Errorf("%v: %v with %d resources, want %q", keys, err, awsResources(g), problem)
		}
	}
	if _, err := withKeys(t, map[string]string{"imagery:accountId": "111122223333"}); err != nil {
		t.Error(err)
	}
}

func TestUserTagsReachEveryResource(t *testing.T) {
	g, err := withKeys(t, map[string]string{"imagery:tags": "team=photos,cost-centre=4711",
		"aws:defaultTags": `{"tags":{"org":"x"}}`})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"team": "photos", "cost-centre": "4711", "org": "x", "stack": "test", "project": "imagery"}
	found := 0
	for _, r := range g.Resources {
		var text string
		switch {
		case r.Type == "pulumi:providers:aws":
			text = fmt.Sprint(r.Get("defaultTags"))
		case strings.HasSuffix(r.Type, ":LaunchTemplate"):
			text = fmt.Sprint(r.Get("tagSpecifications"))
		case r.Type == "aws:autoscaling/group:Group":
			text = fmt.Sprint(r.Get("tags"))
		default:
			continue
		}
		found++
		for name, value := range want {
			if !strings.Contains(text, name) || !strings.Contains(text, value) {
				t.Errorf("%s lacks the tag %s: %s", r.URN(), name, text)
			}
		}
	}
	if found != 5 {
		t.Errorf("%d resources with tags, want the provider, two templates and two groups", found)
	}
}

func TestWrongTagsAndAccountsAreRefused(t *testing.T) {
	for problem, keys := range map[string]map[string]string{
		`"Stack" is set by this program already`: {"imagery:tags": "Stack=mine"},
		`"stack" is set by this program`:         {"aws:defaultTags": `{"tags":{"stack":"mine"}}`},
		`"aws:x" begins with aws:`:               {"imagery:tags": "aws:x=1"},
		`"a?" is not a valid tag name`:           {"imagery:tags": "a?=1"},
		"is not a valid tag name":                {"imagery:tags": strings.Repeat("k", 129) + "=1"},
		"up to 256 letters":                      {"imagery:tags": "k=" + strings.Repeat("v", 257)},
		"are 8 tags together, at most 7": {"imagery:tags": "a=1,b=1,c=1,d=1",
			"aws:defaultTags": `{"tags":{"e":"1","f":"1","g":"1","h":"1"}}`},
		"is not a list such as":              {"imagery:tags": "team"},
		"with different names":               {"imagery:tags": "a=1,a=2"},
		`"a" is set by imagery:tags already`: {"imagery:tags": "a=1,A=2"},
		"not the 12 digits":                  {"imagery:accountId": "12"},
		"is not the ARN of an IAM policy":    {"imagery:permissionsBoundary": "arn:aws:iam::111122223333:role/x"},
		"belongs to account 999999999999": {"imagery:accountId": "111122223333",
			"imagery:permissionsBoundary": "arn:aws:iam::999999999999:policy/x"},
	} {
		g, err := withKeys(t, keys)
		if err == nil || !strings.Contains(err.Error(), problem) || len(g.Resources) > 0 {
			t.Errorf("%v: %v with %d resources, want %q", keys, err, len(g.Resources), problem)
		}
	}
}

func TestEveryRoleHasTheBoundary(t *testing.T) {
	const boundary = "arn:aws:iam::111122223333:policy/team/imagery-boundary"
	g, err := withKeys(t, map[string]string{"imagery:permissionsBoundary": boundary})
	if err != nil || len(g.Of("iam/role:Role")) != 2 {
		t.Fatal(err, len(g.Of("iam/role:Role")))
	}
	for _, r := range g.Of("iam/role:Role") {
		if r.Text("permissionsBoundary") != boundary {
			t.Errorf("%s has the boundary %q", r.URN(), r.Text("permissionsBoundary"))
		}
	}
	for _, r := range graphOf(t, "dev").Of("iam/role:Role") {
		if r.Get("permissionsBoundary") != nil {
			t.Errorf("%s has a boundary that is not configured", r.URN())
		}
	}
}
