package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ForeignError is returned for a data folder in which a path that the service uses is occupied by another program's
// file.
type ForeignError struct {
	Dir  string
	Path string // the file that is in the way
	Why  string
}

// Error implements error.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("data folder %s: %s %s; choose an empty folder or one of Imagery's own", e.Dir, e.Path, e.Why)
}

// folderError adds the folder to an error of os.Root, whose path is relative to the folder.
func folderError(dir string, err error) error {
	return fmt.Errorf("data folder %s: %w", dir, cause(err))
}

// Check returns nil if dir does not exist, is a data folder of the service, or has nothing at the paths that the
// service uses; else a *ForeignError that names the file in the way. It changes nothing.
func Check(dir string) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return folderError(dir, err)
	}
	defer root.Close()
	_, err = inspect(dir, root)
	return err
}

// inspect reports whether the folder is ours: it has our marker or our table. It returns a *ForeignError if another
// program's file is in the way, or if there are objects without a table.
func inspect(dir string, root *os.Root) (ours bool, err error) {
	if err := checkFileTypes(dir, root); err != nil {
		return false, err
	}
	found, err := findForeign(dir, root)
	if err != nil {
		return false, err
	}
	// The marker is read last. Another process that prepares the folder writes it first, so if one of its other files
	// was found above, the marker exists by now.
	ours, err = hasMarker(dir, root)
	if err == nil && !ours && found != nil {
		ours, err = madeByOldRelease(dir, root)
	}
	if err != nil {
		return false, err
	}
	if !ours && found != nil {
		return false, found
	}
	return ours, checkTableExists(dir, root)
}

// checkFileTypes returns a *ForeignError for a link, and for anything else that is not the folder or regular file
// expected at its path.
func checkFileTypes(dir string, root *os.Root) error {
	check := func(name, want string, is func(fs.FileMode) bool) error {
		info, err := root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return folderError(dir, err)
		}
		if is(info.Mode()) && (info.IsDir() || linkCount(info) == 1) {
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

// findForeign returns an error for the first file or folder at a path that the service uses; nil if there is none. The
// error applies only if the folder is not ours.
func findForeign(dir string, root *os.Root) (*ForeignError, error) {
	const why = "was not made by Imagery"
	for _, name := range []string{objectsName, tmpName, wakeName} {
		file, err := firstFile(root, name)
		if err != nil {
			return nil, folderError(dir, err)
		}
		if file != "" {
			return &ForeignError{dir, filepath.Join(dir, filepath.FromSlash(file)), why}, nil
		}
		if _, err := root.Lstat(name); err == nil { // an empty folder may have another purpose and other permissions
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

// firstFile returns the path of one file or link below a folder, or "" if there is none or the folder does not exist.
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

// hasMarker reports whether the marker file exists. A truncated one does not count: the process that wrote it died
// before it created anything else.
func hasMarker(dir string, root *os.Root) (bool, error) {
	text, err := root.ReadFile(markerName)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, folderError(dir, err)
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

// madeByOldRelease reports whether the folder was made by the release that wrote no marker, which created all folders
// before the table. It opens the database only if all of them exist, since SQLite may repair a file when it opens it.
func madeByOldRelease(dir string, root *os.Root) (bool, error) {
	for _, name := range []string{objectsName, tmpName, wakeName, databaseName} {
		if _, err := root.Lstat(name); err != nil {
			return false, nil
		}
	}
	db, err := openDatabase(dir, "rw", 1)
	if err != nil {
		return false, nil // another program's file, which findForeign has reported
	}
	return true, db.Close()
}

// checkTableExists returns a *ForeignError for a folder that has objects but no table: a new table would not contain
// them, and would hide that the old one is missing.
func checkTableExists(dir string, root *os.Root) error {
	absent := func() bool {
		_, err := root.Lstat(databaseName)
		return errors.Is(err, fs.ErrNotExist)
	}
	if !absent() {
		return nil
	}
	object, err := firstFile(root, objectsName)
	if err != nil {
		return folderError(dir, err)
	}
	if object == "" || !absent() { // another process has created the table and then stored the object
		return nil
	}
	return &ForeignError{dir, filepath.Join(dir, filepath.FromSlash(object)),
		"is there, but the table " + databaseName + " is not: put the table back"}
}
