package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/instances"
	"imagery/infra/network"
)

// List prices in US dollars, without taxes, credits and free tiers. The estimate is rough: other regions are up to a
// fifth more expensive, and AWS changes prices.
const (
	priceRegion = instances.PriceRegion
	priceDate   = instances.PriceDate

	monthHours        = 730
	balancerHour      = 0.0225
	capacityUnitHour  = 0.008
	capacityUnits     = 0.2 // with little traffic
	publicAddressHour = 0.005
	natHour           = 0.045
	endpointHour      = 0.01 // in each zone
	diskGiBMonth      = 0.08
	diskGiB           = 8
	alarmMetricMonth  = 0.10
	alarmMetrics      = 33 // of the stack's alarms and the four of target tracking; a test counts them
	freeAlarmMetrics  = 10
	smallServiceMonth = 3.9 // 1 million writes, 5 million reads, 20 GB of photos, 2 million messages, 2 GB of logs
	customMetricMonth = 0.30
	customMetrics     = 14 // of the log lines; a test counts them
	freeCustomMetrics = 10
	logGB             = 0.50
	requestLogBytes   = 670 // measured: 610 to 670 for the line of a request, with CloudWatch's overhead of 26
	endpointServices  = 3
	sessionServices   = 2
)

// item is a line of the estimate.
type item struct {
	name string
	usd  float64
}

// Estimate holds the monthly cost of a stack.
type Estimate struct {
	items []item // at the smallest size, the largest amount first
	total float64
	more  []item // in addition, at the largest size under the load that scaling allows
}

// estimate estimates the cost of a configuration.
func estimate(c Config) Estimate {
	zones, count := float64(c.AZCount), float64(c.ServerMin+c.WorkerMin)
	endpoints := float64(endpointServices)
	if c.SSM {
		endpoints += sessionServices
	}
	// US dollars per hour. Traffic costs extra, except through gateway endpoints.
	egress := map[network.Egress]float64{
		network.Endpoints: endpoints * zones * endpointHour,
		network.NAT:       natHour + publicAddressHour,
		network.NATPerAZ:  zones * (natHour + publicAddressHour),
		network.Public:    count * publicAddressHour,
	}[c.Egress]
	e := Estimate{items: []item{
		{"load balancer", (balancerHour + capacityUnits*capacityUnitHour + zones*publicAddressHour) * monthHours},
		{"servers", float64(c.ServerMin) * instances.Types[c.ServerType].Hourly * monthHours},
		{"workers", float64(c.WorkerMin) * instances.Types[c.WorkerType].Hourly * monthHours},
		{"egress " + string(c.Egress), egress * monthHours},
		{"disks", count * diskGiB * diskGiBMonth},
		{"alarms and metrics",
			(alarmMetrics-freeAlarmMetrics)*alarmMetricMonth + (customMetrics-freeCustomMetrics)*customMetricMonth},
		{"table, photos, messages and logs of a small service", smallServiceMonth},
	}}
	slices.SortStableFunc(e.items, func(a, b item) int { return cmp.Compare(b.usd, a.usd) })
	for _, i := range e.items {
		e.total += i.usd
	}
	e.more = atMost(c)
	return e
}

// atMost returns what the largest size under full load costs in addition to the smallest size without load. It leaves
// out traffic to users.
func atMost(c Config) []item {
	server, worker := instances.Types[c.ServerType], instances.Types[c.WorkerType]
	added := float64(c.ServerMax-c.ServerMin)*server.Hourly + float64(c.WorkerMax-c.WorkerMin)*worker.Hourly
	count := float64(c.ServerMax + c.WorkerMax - c.ServerMin - c.WorkerMin)
	if c.Egress == network.Public {
		added += count * publicAddressHour
	}
	requests := float64(c.RequestsPerTarget*c.ServerMax) * 60 * monthHours
	more := []item{
		{"instances", added*monthHours + count*diskGiB*diskGiBMonth},
		{"logs", requests * requestLogBytes / 1e9 * logGB},
	}
	if surplus := float64(c.ServerMax)*server.Surplus() + float64(c.WorkerMax)*worker.Surplus(); surplus > 0 {
		more = append(more, item{"CPU credits", surplus * monthHours})
	}
	return more
}

// String returns the line that Pulumi shows in previews and updates.
func (e Estimate) String() string {
	share := func(i item) string { return fmt.Sprintf("%s %.0f %%", i.name, 100*i.usd/e.total) }
	var most []string
	sum := 0.0
	for _, i := range e.more {
		sum += i.usd
		most = append(most, fmt.Sprintf("$%.0f for %s", i.usd, i.name))
	}
	return fmt.Sprintf("about $%.0f a month (list prices of %s in %s, smallest size): %s, %s, %s; "+
		"up to $%.0f more at the largest size with every core busy all month: %s", e.total,
		priceRegion, priceDate, share(e.items[0]), share(e.items[1]), share(e.items[2]), sum,
		strings.Join(most, ", "))
}

func (e Estimate) output() pulumi.Map {
	lines, more := pulumi.Map{}, pulumi.Map{}
	for _, i := range e.items {
		lines[i.name] = pulumi.Float64(cents(i.usd))
	}
	for _, i := range e.more {
		more[i.name] = pulumi.Float64(cents(i.usd))
	}
	return pulumi.Map{"total": pulumi.Float64(cents(e.total)), "lines": lines, "moreAtMost": more,
		"prices":    pulumi.String(fmt.Sprintf("list prices of %s in %s", priceRegion, priceDate)),
		"dominates": pulumi.String(e.items[0].name)}
}

// cents rounds to cents.
func cents(usd float64) float64 { return math.Round(usd*100) / 100 }
