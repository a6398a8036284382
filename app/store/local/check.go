package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ForeignError is returned for a data folder that has something of others at a path that we would use.
type ForeignError struct {
	Dir  string
	Path string // of what is in the way
	Why  string
}

// Error implements error.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("data folder %s: %s %s; choose an empty folder or one of Imagery's own", e.Dir, e.Path, e.Why)
}

// Check returns nil if dir is absent, is a data folder of ours, or has nothing at the paths that we would use; else
// a *ForeignError that names what is in the way. It changes nothing.
func Check(dir string) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data folder %s: %w", dir, cause(err))
	}
	defer root.Close()
	_, err = inspect(dir, root)
	return err
}

// inspect reports whether the folder is ours: it has our marker or our table. It returns a *ForeignError if something
// of others is in the way, or if there are objects without a table.
func inspect(dir string, root *os.Root) (ours bool, err error) {
	if err := kinds(dir, root); err != nil {
		return false, err
	}
	found, err := foreign(dir, root)
	if err != nil {
		return false, err
	}
	// Read after the names: another process writes the marker first, so whatever of its files was found, the marker
	// is there by now.
	ours, err = marked(dir, root)
	if err == nil && !ours && found != nil {
		ours, err = madeByOldRelease(dir, root)
	}
	if err != nil {
		return false, err
	}
	if !ours && found != nil {
		return false, found
	}
	return ours, tableBesideObjects(dir, root)
}

// kinds refuses links, and anything else that is neither the folder nor the file that belongs at its path.
func kinds(dir string, root *os.Root) error {
	check := func(name, want string, is func(fs.FileMode) bool) error {
		info, err := root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("data folder %s: %w", dir, cause(err))
		}
		if is(info.Mode()) && (info.IsDir() || names(info) == 1) {
			return nil
		}
		why := "is not a " + want
		if is(info.Mode()) {
			why = "is the same file as one elsewhere (a hard link), so that both folders would have one table"
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			why = "is a symbolic link"
		}
		return &ForeignError{dir, filepath.Join(dir, name), why}
	}
	for _, name := range []string{objectsName, tmpName, wakeName} {
		if err := check(name, "folder", fs.FileMode.IsDir); err != nil {
			return err
		}
	}
	for _, name := range append([]string{markerName, FleetFile}, databaseNames...) {
		if err := check(name, "regular file", fs.FileMode.IsRegular); err != nil {
			return err
		}
	}
	return nil
}

// foreign returns the first thing at our paths that would be of others if the folder is not ours; nil if there is
// none.
func foreign(dir string, root *os.Root) (*ForeignError, error) {
	const why = "was not made by Imagery"
	for _, name := range []string{objectsName, tmpName, wakeName} {
		file, err := firstFile(root, name)
		if err != nil {
			return nil, fmt.Errorf("data folder %s: %w", dir, cause(err))
		}
		if file != "" {
			return &ForeignError{dir, filepath.Join(dir, filepath.FromSlash(file)), why}, nil
		}
		if _, err := root.Lstat(name); err == nil { // an empty folder may have other uses, and other rights
			return &ForeignError{dir, filepath.Join(dir, name), why}, nil
		}
	}
	for _, name := range append([]string{FleetFile}, databaseNames...) {
		if _, err := root.Lstat(name); err == nil {
			return &ForeignError{dir, filepath.Join(dir, name), why}, nil
		}
	}
	return nil, nil
}

// firstFile returns the path of one file or link below a folder, "" if it has none or is absent.
func firstFile(root *os.Root, dir string) (file string, err error) {
	return file, fs.WalkDir(root.FS(), dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		if err == nil {
			file, err = name, fs.SkipAll
		}
		return err
	})
}

// marked reports whether the marker is there. One that is cut short was being written when its process died, before it
// made anything else.
func marked(dir string, root *os.Root) (bool, error) {
	text, err := root.ReadFile(markerName)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("data folder %s: %w", dir, cause(err))
	}
	first, _, _ := strings.Cut(markerText, "\n")
	if strings.HasPrefix(string(text), first) {
		return true, nil
	}
	if strings.HasPrefix(first, string(text)) {
		return false, nil
	}
	return false, &ForeignError{dir, filepath.Join(dir, markerName), "was not made by Imagery"}
}

// madeByOldRelease reports whether the folder is one of the release that wrote no marker: it made all folders before
// the table. Only then is the database opened, since SQLite may repair a file that it opens.
func madeByOldRelease(dir string, root *os.Root) (bool, error) {
	for _, name := range []string{objectsName, tmpName, wakeName, databaseName} {
		if _, err := root.Lstat(name); err != nil {
			return false, nil
		}
	}
	db, err := openDatabase(dir, "rw", 1)
	if err != nil {
		return false, nil // another program's file; foreign has named something
	}
	return true, db.Close()
}

// tableBesideObjects refuses a folder that has objects and no table: a new table would know none of them, and would
// hide that the old one is missing.
func tableBesideObjects(dir string, root *os.Root) error {
	absent := func() bool {
		_, err := root.Lstat(databaseName)
		return errors.Is(err, fs.ErrNotExist)
	}
	if !absent() {
		return nil
	}
	object, err := firstFile(root, objectsName)
	if err != nil {
		return fmt.Errorf("data folder %s: %w", dir, cause(err))
	}
	if object == "" || !absent() { // another process has made the table, and then put the object
		return nil
	}
	return &ForeignError{dir, filepath.Join(dir, filepath.FromSlash(object)),
		"is there, but the table " + databaseName + " is not: put the table back"}
}
