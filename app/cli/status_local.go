package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"imagery/app/client"
	"imagery/app/store/local"
)

// processes reads the processes of the fleet that runs on the data folder.
func (s statusSource) processes(ctx context.Context, f *fleetSection) error {
	noFleet := absent("no fleet runs on this folder; start it: imagery --data " + s.Data)
	name := filepath.Join(s.Data, local.FleetFile)
	file, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return noFleet
	}
	if err != nil {
		return err
	}
	f.URL, _, _ = strings.Cut(strings.TrimSpace(string(file)), " ") // the process id follows
	state, err := readFleet(ctx, f.URL)
	if err != nil {
		return fmt.Errorf("the fleet in %s does not answer: %w", name, err)
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
	c := client.New(url)
	c.MaxBody = 1 << 20
	res, err := c.Expect(ctx, http.MethodGet, "/_fleet.json", nil, nil, http.StatusOK)
	if err == nil {
		err = json.Unmarshal(res.Body, &s)
	}
	return s, err
}
