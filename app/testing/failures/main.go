// Command failures writes measured times to docs/failures.md: the recovery time of each failure, and the rows of the
// second table. Its argument is a file with the output of the tests that measure them. Times differ from run to run, so
// scripts/failures runs it by hand only.
package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// measured has a pattern for each failure on the page that is measured. The pattern finds the recovery time, its only
// group, in the output of scripts/boot-test or of the tests in app/testing/e2e.
var measured = map[string]string{
	"a server process":                     `kill -9 in \S*server: ready again after ([\d.]+ s)`,
	"a worker process":                     `kill -9 in \S*worker: ready again after ([\d.]+ s)`,
	"a worker that hangs":                  `frozen worker: the watchdog had it ready again after ([\d.]+ s)`,
	"every process at once":                `\| aws \| sigkill-everything \|.*\| ([\d.]+ s) \|`,
	"a photo that kills its worker":        `a photo killed every worker, .* after ([\d.]+ s)`,
	"the leading reconciler":               `\| aws \| reconciler before-hint \|.*\| ([\d.]+ s) \|`,
	"an instance: host, power":             `lost their power: full again after ([\d.]+ s)`,
	"an availability zone or its network":  `a zone was off the network: full again after ([\d.]+ s)`,
	"a bad release":                        `wrong hash: rolled back by the controller in ([\d.]+ s)`,
	"a release that fails only under load": `slow under load: rolled back by the controller in ([\d.]+ s)`,
	"a missing IAM permission":             `missing right: abandoned after ([\d.]+ s)`,
	"a boot that hangs":                    `hanging boot: abandoned after ([\d.]+ s)`,
	"the fleet process of a laptop":        `\| local \| sigkill-everything \|.*\| ([\d.]+ s) \|`,
	"a frozen process of a laptop":         `a server froze with the write lock, .* after ([\d.]+ s)`,
	"DynamoDB":                             `dynamodb was away .* ([\d.]+ s) after it was back`,
	"S3":                                   `s3 was away .* ([\d.]+ s) after it was back`,
	"SQS":                                  `sqs was away .* ([\d.]+ s) after it was back`,
	"all messages of the queue":            `\| aws \| queue-purged \|.*\| ([\d.]+ s) \|`,
}

func main() {
	const document = "docs/failures.md"
	log, err := os.ReadFile(os.Args[1])
	var page []byte
	if err == nil {
		page, err = os.ReadFile(document)
	}
	if err == nil {
		page, err = update(page, log)
	}
	if err == nil {
		err = os.WriteFile(document, page, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "failures:", err)
		os.Exit(1)
	}
}

// update returns the page with the times of a log. The error names the rows of the page that the log has no time of.
func update(page, log []byte) ([]byte, error) {
	var missing []string
	lines := strings.Split(string(page), "\n")
	for i, line := range lines {
		cells := strings.Split(line, " | ")
		what := strings.TrimPrefix(cells[0], "| ")
		if strings.HasPrefix(line, "Measured on ") {
			lines[i] = fmt.Sprintf("Measured on %s, %s on %s, %d cores.", time.Now().Format(time.DateOnly), runtime.GOOS,
				runtime.GOARCH, runtime.NumCPU())
		}
		pattern, found := measured[what], []string(nil)
		switch {
		case pattern != "":
			if found = regexp.MustCompile(pattern).FindStringSubmatch(string(log)); found != nil {
				cells[4] = found[1]
				lines[i] = strings.Join(cells, " | ")
			}
		case what == "local" || what == "aws":
			pattern = regexp.QuoteMeta(cells[0] + " | " + cells[1] + " | ")
			if found = regexp.MustCompile(pattern + ".*").FindStringSubmatch(string(log)); found != nil {
				lines[i] = found[0]
			}
		default:
			continue
		}
		if found == nil {
			missing = append(missing, what)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("the output has no time of: %s; scripts/failures measures all of them",
			strings.Join(missing, "; "))
	}
	return []byte(strings.Join(lines, "\n")), nil
}
