// Package instances has the EC2 instance types that a stack may use: what a process may occupy on each, and what it
// costs.
package instances

import (
	"maps"
	"slices"

	"imagery/app/deploy/settings"
)

// Prices are list prices of this region and month in US dollars, without taxes, credits and free tiers.
const (
	PriceRegion = "us-east-1"
	PriceDate   = "2025-06"
)

// Default types of the workers, by profile.
const (
	DevWorker  = "t4g.small"
	ProdWorker = "c7g.medium"
)

// Type describes an EC2 instance type.
type Type struct {
	Arch      string
	Cores     int // vCPUs, on arm64 a whole core each
	MemoryMiB int64
	Burstable bool    // it has CPU credits
	Hourly    float64 // US dollars
}

// Types maps the names of the types that a stack may use. There is none below 1 GiB: installing the log agent alone
// needs 400 MB.
var Types = map[string]Type{
	"t4g.micro":  {"arm64", 2, 1024, true, 0.0084},
	"t4g.small":  {"arm64", 2, 2048, true, 0.0168},
	"t4g.medium": {"arm64", 2, 4096, true, 0.0336},
	"t4g.large":  {"arm64", 2, 8192, true, 0.0672},
	"c7g.medium": {"arm64", 1, 2048, false, 0.0363},
	"c7g.large":  {"arm64", 2, 4096, false, 0.0725},
	"c7g.xlarge": {"arm64", 4, 8192, false, 0.1450},
	"c8g.medium": {"arm64", 1, 2048, false, 0.0399},
	"c8g.large":  {"arm64", 2, 4096, false, 0.0798},
	"m7g.medium": {"arm64", 1, 4096, false, 0.0408},
	"m7g.large":  {"arm64", 2, 8192, false, 0.0816},
	"t3.micro":   {"amd64", 2, 1024, true, 0.0104},
	"t3.small":   {"amd64", 2, 2048, true, 0.0208},
	"t3.medium":  {"amd64", 2, 4096, true, 0.0416},
	"t3.large":   {"amd64", 2, 8192, true, 0.0832},
	"c7i.large":  {"amd64", 2, 4096, false, 0.0893},
	"c7i.xlarge": {"amd64", 4, 8192, false, 0.1785},
	"m7i.large":  {"amd64", 2, 8192, false, 0.1008},
}

// Shares of an instance's memory, both below the unit's MemoryMax (85 %). The rest is for the kernel, the log agent and
// the page cache.
const (
	budgetPercent  = 70 // IMAGERY_MEMORY: the memory that the process uses for requests and photos
	gcLimitPercent = 75 // GOMEMLIMIT: from here on the garbage collector runs more often
)

// Budget returns the bytes that the process uses for requests and photos.
func (t Type) Budget() int64 { return t.MemoryMiB << 20 * budgetPercent / 100 }

// GCLimit returns the memory limit of the garbage collector in bytes.
func (t Type) GCLimit() int64 { return t.MemoryMiB << 20 * gcLimitPercent / 100 }

// PhotoMemory returns the bytes that a worker of this type can use for one photo. Servers reject photos that need more.
func (t Type) PhotoMemory() int64 {
	return settings.PlanWorker(t.Cores, t.Budget(), settings.DefaultMaxPixels).Photos
}

// surplusVCPUHour is the price of surplus CPU credits in US dollars per vCPU and hour, for Linux, by architecture.
// https://aws.amazon.com/ec2/pricing/on-demand/#T2.2FT3.2FT4g_Unlimited_Mode_Pricing
var surplusVCPUHour = map[string]float64{"arm64": 0.04, "amd64": 0.05}

// baselines maps the memory of a burstable type in MiB to the share of each vCPU for which it earns credits.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-credits-baseline-concepts.html
var baselines = map[int64]float64{1024: 0.10, 2048: 0.20, 4096: 0.20, 8192: 0.30}

// Surplus returns the cost of an instance's surplus credits in US dollars per hour while all its cores are busy. It is
// the most that mode "unlimited" can add to a bill.
func (t Type) Surplus() float64 {
	if !t.Burstable {
		return 0
	}
	return float64(t.Cores) * (1 - baselines[t.MemoryMiB]) * surplusVCPUHour[t.Arch]
}

// CoreHour returns the price of one core that is busy for an hour, in US dollars.
func (t Type) CoreHour() float64 { return (t.Hourly + t.Surplus()) / float64(t.Cores) }

// Names lists the known types of an architecture, or of both if arch is empty.
func Names(arch string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(Types)), func(name string) bool {
		return arch != "" && Types[name].Arch != arch
	})
}
