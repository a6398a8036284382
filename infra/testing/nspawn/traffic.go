package nspawn

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Traffic holds what the load balancer has counted since it started.
type Traffic struct {
	Requests       int    // of clients
	Answers        [6]int // to clients, by the first digit of the status
	TargetRequests int    // sent to targets
	TargetAnswers  [6]int // of targets, by the first digit of the status
	// ResponseTime is the mean time in which targets answered the newest 1024 requests of each.
	ResponseTime time.Duration
}

// Traffic returns the totals of the load balancer, which are 0 before Balance.
func (h *Host) Traffic() (Traffic, error) {
	h.mu.Lock()
	p := h.proxy
	h.mu.Unlock()
	if p == nil {
		return Traffic{}, nil
	}
	text, err := p.ask("show stat")
	if err != nil {
		return Traffic{}, fmt.Errorf("read the balancer's statistics: %w", err)
	}
	return parseTraffic(text)
}

// parseTraffic reads the CSV of HAProxy. Answers that HAProxy makes itself are counted for the frontend and the
// backend, but for no server.
func parseTraffic(text string) (t Traffic, err error) {
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "# "))).ReadAll()
	if err != nil || len(rows) == 0 {
		return t, fmt.Errorf("read the balancer's statistics %q: %w", text, err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for _, row := range rows[1:] {
		number := func(name string) int {
			n, _ := strconv.Atoi(row[column[name]]) // empty where it does not apply
			return n
		}
		add := func(to *[6]int) {
			for digit := 1; digit < len(to); digit++ {
				to[digit] += number(fmt.Sprintf("hrsp_%dxx", digit))
			}
		}
		switch row[column["svname"]] {
		case "FRONTEND":
			t.Requests += number("req_tot")
			add(&t.Answers)
		case "BACKEND":
			t.ResponseTime = max(t.ResponseTime, time.Duration(number("rtime"))*time.Millisecond)
		default:
			t.TargetRequests += number("stot")
			add(&t.TargetAnswers)
		}
	}
	return t, nil
}
