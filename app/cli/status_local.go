package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"imagery/app/store/local"
)

// processes reads the processes of the fleet that runs on the data folder.
func (s statusSource) processes(ctx context.Context, f *fleetSection) error {
	noFleet := absent("no fleet runs on this folder; start it: imagery --data " + s.Data)
	file, err := os.ReadFile(filepath.Join(s.Data, local.FleetFile))
	if errors.Is(err, fs.ErrNotExist) {
		return noFleet
	}
	if err != nil {
		return err
	}
	f.URL, _, _ = strings.Cut(strings.TrimSpace(string(file)), " ") // the process id follows
	state, err := readFleet(ctx, f.URL)
	if err != nil {
		return fmt.Errorf("the fleet at %s does not answer: %w", f.URL, err)
	}
	if !sameFolder(state.Data, s.Data) { // the file is of a killed fleet, and another fleet has the port now
		return noFleet
	}
	for _, role := range roles {
		var members []member
		for _, p := range state.Processes {
			if p.Role != role {
				continue
			}
			switch p.member.Uptime, p.State = p.Uptime, "not ready"; {
			case p.PID == 0:
				p.State = "down"
			case p.Ready:
				p.State = ready
			}
			members = append(members, p.member)
		}
		f.add(group{Role: role, Desired: len(members)}, members)
	}
	return nil
}

func sameFolder(a, b string) bool {
	one, errOne := os.Stat(a)
	other, errOther := os.Stat(b)
	return errOne == nil && errOther == nil && os.SameFile(one, other)
}

// fleetState is the answer of /_fleet.json.
type fleetState struct {
	Data      string
	Processes []struct {
		member
		Uptime int64 // s
		Ready  bool
	}
}

// fleetTimeout is longer than a fleet waits for a process that hangs.
const fleetTimeout = 5 * time.Second

func readFleet(ctx context.Context, url string) (s fleetState, err error) {
	ctx, cancel := context.WithTimeout(ctx, fleetTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/_fleet.json", nil)
	if err != nil {
		return s, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, errors.Unwrap(err) // without the address, which the caller adds
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	if res.StatusCode != http.StatusOK {
		return s, fmt.Errorf("it answered %s", res.Status)
	}
	return s, json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&s)
}
