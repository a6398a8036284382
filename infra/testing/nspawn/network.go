package nspawn

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func bridge(n int) string { return "zone" + strconv.Itoa(n) }

// networkText is a machine's network: its address and its gateway. IPv6 is off, since it looks for other owners of its
// address, which delays the boot.
const networkText = `[Match]
Name=host0
[Network]
Address=%s/24
Gateway=10.99.%d.1
LinkLocalAddressing=no
IPv6AcceptRA=no
`

// network gives the host its addresses and a bridge for each zone.
func network(zones int) error {
	steps := []string{"link set lo up", "addr add " + Address + "/32 dev lo", "addr add " + metadata + "/32 dev lo"}
	for n := range zones {
		br := bridge(n)
		// A bridge without an address takes the lowest one of its ports. Whenever a machine came or went, the others
		// would send to a gateway that is gone, for seconds.
		steps = append(steps, fmt.Sprintf("link add %s address 02:00:0a:63:%02x:01 type bridge", br, n+1),
			fmt.Sprintf("addr add 10.99.%d.1/24 dev %s", n+1, br), "link set "+br+" up")
	}
	for _, s := range steps {
		if out, err := exec.Command("ip", strings.Fields(s)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", s, err, out)
		}
	}
	return nil
}

// Zone takes a whole zone off the network, or puts it back.
func (h *Host) Zone(name string, up bool) error {
	n := slices.Index(h.Zones, name)
	if n < 0 {
		return fmt.Errorf("there is no zone %s", name)
	}
	return exec.Command("ip", "link", "set", bridge(n), map[bool]string{true: "up", false: "down"}[up]).Run()
}

// inotifyInstances is enough for a hundred machines: the systemd of each takes about ten of root's inotify instances,
// of which Linux allows 128. Without one, a machine boots but never runs its user data.
const inotifyInstances = 1024

// raiseInotify raises the limit of inotify instances of this computer, if it is lower.
func raiseInotify() error {
	const path = "/proc/sys/fs/inotify/max_user_instances"
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && n >= inotifyInstances {
		return nil
	}
	return os.WriteFile(path, []byte(strconv.Itoa(inotifyInstances)), 0)
}

// ownCgroup returns this process's folder in the unified hierarchy.
func ownCgroup() (string, error) {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	_, path, _ := strings.Cut("\n"+string(b), "\n0::")
	path, _, _ = strings.Cut(path, "\n")
	for _, at := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		dir := filepath.Join(at, path)
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("no unified hierarchy of control groups is mounted")
}

// newCgroup creates a cgroup for one machine. Otherwise all machines would share one, and each would wait for, and
// count, the processes of the others.
func (h *Host) newCgroup(id string) (*os.File, error) {
	dir, err := os.MkdirTemp(h.cgroups, id+"-")
	if err != nil {
		return nil, err
	}
	return os.Open(dir)
}

// removeCgroup removes a machine's cgroups, children first. One that is still in use stays.
func removeCgroup(dir string) {
	inside, _ := filepath.Glob(filepath.Join(dir, "*", "cgroup.procs"))
	for _, file := range inside {
		removeCgroup(filepath.Dir(file))
	}
	_ = os.Remove(dir)
}

// removeOldCgroups removes those of machines of a host that was killed. Empty ones that are new may be of a host that
// starts a machine now.
func removeOldCgroups(parent string) {
	left, _ := filepath.Glob(filepath.Join(parent, "i-*-*"))
	copies, _ := filepath.Glob("/sys/fs/cgroup/*/i-*-*") // systemd-nspawn repeats them in other hierarchies
	for _, dir := range slices.Concat(left, copies) {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > time.Minute {
			removeCgroup(dir)
		}
	}
}
