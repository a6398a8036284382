package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// Names in a data folder. Everything that the service writes or removes lies at one of these paths, and carries a
// name of exactly our own form below them; nothing else is touched.
const (
	databaseName = "imagery.db" // with SQLite's own -wal, -shm and -journal beside it
	objectsName  = "objects"    // one file per object, under its key
	tmpName      = "tmp"        // files that are being written or removed
	wakeName     = "wake"       // sockets of processes that wait for messages
	markerName   = "imagery-data.txt"

	// FleetFile is the file in which a running fleet says where it listens.
	FleetFile = "fleet.url"
)

// markerText is the content of the marker file. It is written before anything else, so a folder in which Prepare
// was interrupted is still known as ours.
const markerText = `This is a data folder of Imagery.

imagery.db holds the table of images and the queue, objects/ the photos. They belong together: copy, move or
remove the folder as a whole, while the service is stopped, never parts of it.
`

// Forms of the names that are made here. A file with any other name is not ours and is never removed.
var (
	stagedForm = regexp.MustCompile(`^([0-9]+)-[0-9]{12,20}$`) // in tmp: PID-RANDOM, see stage
	// asideForm is in tmp: PID~KEY, with ~ for / in the key.
	asideForm = regexp.MustCompile(`^([0-9]+)~((?:upload|processed|selftest)(?:~` + keyPart + `){1,3})$`)
	// oldAsideForm matches the names that the release before this one made: PID-KEY, with - for / in the key.
	oldAsideForm = regexp.MustCompile(`^([0-9]+)-upload-(` + uuidForm + `)-([0-9a-f]{64})$`)
	socketForm   = regexp.MustCompile(`^([0-9]+)-[0-9]+\.sock$`) // in wake: PID-NUMBER.sock
	// originalForm is the key of an original: that of this service, and that of the book's app with a time in ms.
	originalForm = regexp.MustCompile(`^upload/` + uuidForm + `(/[0-9a-f]{64}|-[0-9]{13})$`)
	imageForm    = regexp.MustCompile(`^upload/` + uuidForm + `$`)
)

const uuidForm = `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`

func databasePath(dir string) string { return filepath.Join(dir, databaseName) }

// databaseNames are the files that SQLite may make.
var databaseNames = []string{databaseName, databaseName + "-wal", databaseName + "-shm", databaseName + "-journal"}

// lay makes what is missing of the folder's layout, readable by its owner only: photos are private, and an image's id
// is their only secret. A folder that existed before keeps its own mode, since it may have other uses.
func lay(root *os.Root) error {
	if err := mark(root); err != nil {
		return err
	}
	for _, name := range []string{objectsName, tmpName, wakeName} {
		if err := root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := root.Chmod(name, 0o700); err != nil {
			return err
		}
	}
	// Made here, because SQLite would make it readable by everybody. Its other files take over this one's mode.
	f, err := root.OpenFile(databaseName, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// mark writes the marker, unless it is there. It is not cut before it is written, since another process may read it at
// any time.
func mark(root *os.Root) error {
	if text, err := root.ReadFile(markerName); err == nil && string(text) == markerText {
		return nil
	}
	f, err := root.OpenFile(markerName, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(markerText)
	return errors.Join(err, f.Sync(), f.Close())
}

// hide makes the database readable by its owner only: the release before made it readable by everybody.
func hide(root *os.Root) error {
	for _, name := range databaseNames {
		if err := root.Chmod(name, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// cause drops the operation and path of an error of os.Root, whose path is only the part below the folder.
func cause(err error) error {
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		return fmt.Errorf("%s: %w", pathErr.Path, pathErr.Err)
	}
	return err
}

// keyOfAside returns the key of an object that was set aside under that name in tmp, "" if it is no such name.
func keyOfAside(name string) string {
	if m := asideForm.FindStringSubmatch(name); m != nil {
		return strings.ReplaceAll(m[2], "~", "/")
	}
	if m := oldAsideForm.FindStringSubmatch(name); m != nil {
		return path.Join("upload", m[2], m[3])
	}
	return ""
}

// Announce writes down in FleetFile where the fleet on this folder listens, until withdraw is called. A fleet that is
// killed leaves the file behind: its reader asks at the URL which folder is served there.
func (s *Store) Announce(url string) (withdraw func() error, err error) {
	text := fmt.Sprintf("%s %d\n", url, os.Getpid())
	staged, err := blobs{s.root}.stage(strings.NewReader(text), int64(len(text)))
	if err == nil {
		err = s.root.Rename(staged, FleetFile)
	}
	if err != nil && staged != "" {
		err = errors.Join(err, s.root.Remove(staged))
	}
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", FleetFile, cause(err))
	}
	return func() error {
		if now, err := s.root.ReadFile(FleetFile); err != nil || string(now) != text {
			return nil // the next fleet has written its own
		}
		return s.root.Remove(FleetFile)
	}, nil
}
