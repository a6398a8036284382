package main

import (
	"fmt"
	"io"
	"math"
	"time"

	"imagery/app/deploy/instances"
)

// perCoreHour returns how many photos one core filters in an hour if each takes that many nanoseconds.
func perCoreHour(ns float64) float64 { return float64(time.Hour) / ns }

// perMillion returns the price in US dollars of a million photos on the busy cores of an instance, without anything
// else that a service needs.
func perMillion(ns float64, instance string) float64 {
	return 1e6 / perCoreHour(ns) * instances.Types[instance].CoreHour()
}

// printPrices writes what the times on one core mean in photos per core-hour and in money.
func printPrices(w io.Writer, f pipelineResults) {
	const dev, prod = instances.DevWorker, instances.ProdWorker
	fmt.Fprintf(w, "\nPhotos that one core filters in an hour, and US dollars for a million photos on %s, the default "+
		"worker, and on %s, that of the profile prod:\n\n| photo | ours, photos per core-hour | sharp "+
		"| ours, dollars per million on %s | sharp | ours, on %s | sharp |\n|---|--:|--:|--:|--:|--:|--:|\n",
		dev, prod, dev, prod)
	for _, c := range f.comparisons {
		if c.other != sharpName || c.cores != 1 {
			continue
		}
		ours, other := median(c.pairs, ourElapsed), median(c.pairs, otherElapsed)
		fmt.Fprintf(w, "| %s | **%s** | %s | **%.2f** | %.2f | %.2f | %.2f |\n", c.photo.name,
			thousands(perCoreHour(ours)), thousands(perCoreHour(other)),
			perMillion(ours, dev), perMillion(other, dev), perMillion(ours, prod), perMillion(other, prod))
	}
	fmt.Fprintf(w, "\nThe times are those of a core of this machine, which is not a core of these instances: theirs "+
		"are arm64, and ours without AVX2 is the nearest row. Compare rows and programs. The prices are the list "+
		"prices of %s in %s of the cost estimate of a stack, without servers, disks, S3, DynamoDB, SQS and traffic: "+
		"%s, and %s. All cores of an instance are busy all the time.\n",
		instances.PriceRegion, instances.PriceDate, describePrice(dev), describePrice(prod))
}

// describePrice describes the price of an instance type.
func describePrice(name string) string {
	t := instances.Types[name]
	text := fmt.Sprintf("%s $%.4f an hour for %d vCPU", name, t.Hourly, t.Cores)
	if s := t.Surplus(); s > 0 {
		text += fmt.Sprintf(" and $%.4f for the CPU credits above its baseline", s)
	}
	return text
}

// thousands formats a number below a billion with three significant digits and separators.
func thousands(v float64) string {
	scale := math.Pow10(max(0, int(math.Log10(v))-2))
	n := int(math.Round(v/scale) * scale)
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%d,%03d,%03d", n/1e6, n/1e3%1e3, n%1e3)
	case n >= 1e3:
		return fmt.Sprintf("%d,%03d", n/1e3, n%1e3)
	default:
		return fmt.Sprint(n)
	}
}
