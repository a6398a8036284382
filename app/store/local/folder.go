package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Names in a data folder. The service writes and removes files at these paths only, and in the folders only files whose
// names have the forms below.
const (
	databaseName = "imagery.db" // with SQLite's -wal, -shm and -journal files
	objectsName  = "objects"    // one file per object, under its key
	tmpName      = "tmp"        // files that are being written or removed
	wakeName     = "wake"       // sockets of processes that wait for messages
	markerName   = "imagery-data.txt"

	// FleetFile is the file that contains the URL of a running fleet.
	FleetFile = "fleet.url"
)

// markerText is the content of the marker file. It is written before anything else, so that a folder in which Prepare
// was interrupted is still recognized as ours.
const markerText = `This is a data folder of Imagery.

imagery.db holds the table of images and the queue, objects/ the photos. They belong together: copy, move or
remove the folder as a whole, while the service is stopped, never parts of it.
`

// Forms of the names that the service creates. A file with another name is never removed.
var (
	// tmpForm matches names in tmp: PID-RANDOM, see stage; PID~KEY for an object that was set aside, with ~ for / in the
	// key; PID-upload-ID-HASH, as the previous release named these.
	tmpForm = regexp.MustCompile(`^([0-9]+)(?:-[0-9]{12,20}|~((?:upload|processed|selftest)(?:~` + keyPart +
		`){1,3})|-upload-(` + uuidForm + `)-([0-9a-f]{64}))$`)
	socketForm = regexp.MustCompile(`^([0-9]+)-[0-9]+\.sock$`) // in wake: PID-NUMBER.sock
	// originalForm matches the key of an original, of this service or (with a time in ms) of the original application.
	originalForm = regexp.MustCompile(`^upload/` + uuidForm + `(/[0-9a-f]{64}|-[0-9]{13})$`)
	imageForm    = regexp.MustCompile(`^upload/` + uuidForm + `$`)
)

const uuidForm = `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`

func databasePath(dir string) string { return filepath.Join(dir, databaseName) }

var (
	folders = []string{objectsName, tmpName, wakeName}
	// databaseNames lists the files that SQLite may create.
	databaseNames = []string{databaseName, databaseName + "-wal", databaseName + "-shm", databaseName + "-journal"}
	// usedNames lists the paths that the service uses beside the marker.
	usedNames = slices.Concat(folders, []string{FleetFile}, databaseNames)
)

// createLayout creates the missing files and folders, readable by their owner only: photos are private, and only the
// secret id of an image protects it. The data folder itself keeps its mode, since it may have other uses.
func createLayout(root *os.Root) error {
	if err := writeMarker(root); err != nil {
		return err
	}
	for _, name := range folders {
		if err := root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := root.Chmod(name, 0o700); err != nil {
			return err
		}
	}
	// Created here, because SQLite would make it world-readable. SQLite's other files get the mode of this one.
	f, err := root.OpenFile(databaseName, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// writeMarker writes the marker file unless it is complete. It does not truncate the file, since another process may
// read it at any time.
func writeMarker(root *os.Root) error {
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

// restrictMode makes the database readable by its owner only; the previous release made it world-readable.
func restrictMode(root *os.Root) error {
	for _, name := range databaseNames {
		if err := root.Chmod(name, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// cause returns an error of os.Root without its operation.
func cause(err error) error {
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		return fmt.Errorf("%s: %w", pathErr.Path, pathErr.Err)
	}
	return err
}

// keyOfAside returns the key of the object that was set aside in tmp under that name, or "" for any other name.
func keyOfAside(name string) string {
	m := tmpForm.FindStringSubmatch(name)
	switch {
	case m == nil:
		return ""
	case m[3] != "":
		return path.Join("upload", m[3], m[4])
	default:
		return strings.ReplaceAll(m[2], "~", "/")
	}
}

// Announce writes the URL of the fleet on this folder to FleetFile; withdraw removes it. A fleet that is killed leaves
// the file behind, so readers must ask the URL which folder it serves.
func (s *Store) Announce(url string) (withdraw func() error, err error) {
	text := fmt.Sprintf("%s %d\n", url, os.Getpid())
	err = blobs{s.root}.replace(context.Background(), FleetFile, strings.NewReader(text), int64(len(text)))
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", FleetFile, cause(err))
	}
	return func() error {
		if now, err := s.root.ReadFile(FleetFile); err != nil || string(now) != text {
			return nil // another fleet has replaced it
		}
		return s.root.Remove(FleetFile)
	}, nil
}
