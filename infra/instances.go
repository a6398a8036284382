package main

import (
	"maps"
	"slices"

	"imagery/app/deploy/settings"
)

// instanceType is what the program must know of a type before it asks AWS for one.
type instanceType struct {
	arch      string
	cores     int
	memoryMiB int64
	burstable bool
	hourly    float64 // US dollars, list price of priceRegion at priceDate
}

// instanceTypes are the types that a stack may use. Sizes below 1 GiB are left out: installing the log agent
// alone needs 400 MB.
var instanceTypes = map[string]instanceType{
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

// Shares of an instance's memory. The rest is the kernel's, the log agent's and the page cache's; the unit's
// MemoryMax (85 %) lies above both.
const (
	budgetPercent  = 70 // IMAGERY_MEMORY: what the process admits
	gcLimitPercent = 75 // GOMEMLIMIT: where the collector starts to work hard
)

func (t instanceType) budget() int64 { return t.memoryMiB << 20 * budgetPercent / 100 }

// photoMemory returns the bytes that a worker of this type can give to one photo. Servers refuse what needs more.
func (t instanceType) photoMemory() int64 {
	return settings.PlanWorker(t.cores, t.budget(), settings.DefaultMaxPixels).Photos
}

// surplusVCPUHour holds the price of CPU credits beyond the earned ones, in US dollars per vCPU and hour, for Linux.
// https://aws.amazon.com/ec2/pricing/on-demand/#T2.2FT3.2FT4g_Unlimited_Mode_Pricing
var surplusVCPUHour = map[string]float64{"arm64": 0.04, "amd64": 0.05}

// baselines are the shares of each vCPU that a burstable type earns credits for, by memory in MiB.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-credits-baseline-concepts.html
var baselines = map[int64]float64{1024: 0.10, 2048: 0.20, 4096: 0.20, 8192: 0.30}

// surplus returns the US dollars per hour that the credits of an instance cost when all its cores are busy. It is the
// bound of what "unlimited" adds to a bill.
func (t instanceType) surplus() float64 {
	if !t.burstable {
		return 0
	}
	return float64(t.cores) * (1 - baselines[t.memoryMiB]) * surplusVCPUHour[t.arch]
}

func (t instanceType) gcLimit() int64 { return t.memoryMiB << 20 * gcLimitPercent / 100 }

// typesOf lists the known types of an architecture, of both if it is empty.
func typesOf(arch string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(instanceTypes)) {
		if arch == "" || instanceTypes[name].arch == arch {
			out = append(out, name)
		}
	}
	return out
}
