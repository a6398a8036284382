package network_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/infra/network"
	"imagery/infra/testing/pulumitest"
)

// The policy that AWS gives an endpoint without one admits every resource of every account.
func TestNoEndpointWithoutPolicy(t *testing.T) {
	policies := map[string]pulumi.StringInput{}
	for _, service := range network.Services(network.Endpoints, true) {
		g, err := pulumitest.Run(func(ctx *pulumi.Context) error {
			_, err := network.New(ctx, "n", &network.Args{Region: "eu-central-1", CIDR: netip.MustParsePrefix("10.42.0.0/16"),
				Zones: []string{"a", "b"}, Egress: network.Endpoints, SSM: true, Policies: policies})
			return err
		}, "test", t.TempDir(), nil)
		if err == nil || !strings.Contains(err.Error(), "endpoint of "+service+" has no policy") || len(g.Resources) > 0 {
			t.Errorf("%v, %d resources; want a complaint about %s", err, len(g.Resources), service)
		}
		policies[service] = pulumi.String("{}")
	}
}
