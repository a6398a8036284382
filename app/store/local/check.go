package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// foreign returns the error of a data folder in which another program's file occupies a path that the service uses.
func foreign(root *os.Root, file, why string) error {
	return fmt.Errorf("data folder %s: %s %s; choose an empty folder or one of Imagery's own", root.Name(),
		filepath.Join(root.Name(), filepath.FromSlash(file)), why)
}

const notOurs = "was not made by Imagery"

// folderError adds the folder to an error of os.Root, whose path is relative to the folder.
func folderError(dir string, err error) error {
	return fmt.Errorf("data folder %s: %w", dir, cause(err))
}

// Check returns nil if dir does not exist, is a data folder of the service, or has nothing at the paths that the
// service uses; else an error that names the file in the way. It changes nothing.
func Check(dir string) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return folderError(dir, err)
	}
	defer root.Close()
	return inspect(root)
}

// inspect returns an error if another program's file is in the way, or if there are objects without a table. A
// folder is ours if it has our marker or our table.
func inspect(root *os.Root) error {
	if err := checkFileTypes(root); err != nil {
		return err
	}
	found, err := findFile(root)
	if err != nil {
		return err
	}
	// The marker is read last. Another process that prepares the folder writes it first, so if one of its other files
	// was found above, the marker exists by now.
	marked, err := hasMarker(root)
	if err != nil {
		return err
	}
	if found != "" && !marked && !madeByOldRelease(root) {
		return foreign(root, found, notOurs)
	}
	return checkTableExists(root)
}

// checkFileTypes returns an error for a link, and for anything else that is not the folder or regular file
// expected at its path.
func checkFileTypes(root *os.Root) error {
	for _, name := range append([]string{markerName}, usedNames...) {
		info, err := root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return folderError(root.Name(), err)
		}
		folder := slices.Contains(folders, name)
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			return foreign(root, name, "is a symbolic link")
		case folder && !info.IsDir():
			return foreign(root, name, "is not a folder")
		case !folder && !info.Mode().IsRegular():
			return foreign(root, name, "is not a regular file")
		case !folder && linkCount(info) != 1:
			return foreign(root, name,
				"is the same file as one elsewhere (a hard link), so that both folders would have one table")
		}
	}
	return nil
}

// findFile returns the first file or folder at a path that the service uses, "" if there is none.
func findFile(root *os.Root) (string, error) {
	for _, name := range usedNames {
		file, err := firstFile(root, name)
		if err != nil {
			return "", folderError(root.Name(), err)
		}
		if file != "" {
			return file, nil
		}
		if _, err := root.Lstat(name); err == nil { // an empty folder may have another purpose and other permissions
			return name, nil
		}
	}
	return "", nil
}

// firstFile returns the path of one file or link at or below a path, or "" if there is none.
func firstFile(root *os.Root, below string) (file string, err error) {
	return file, fs.WalkDir(root.FS(), below, func(name string, d fs.DirEntry, err error) error {
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
func hasMarker(root *os.Root) (bool, error) {
	text, err := root.ReadFile(markerName)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, folderError(root.Name(), err)
	}
	first, _, _ := strings.Cut(markerText, "\n")
	if !strings.HasPrefix(string(text), first) && !strings.HasPrefix(first, string(text)) {
		return false, foreign(root, markerName, notOurs)
	}
	return len(text) >= len(first), nil
}

// madeByOldRelease reports whether the folder was made by the release that wrote no marker, which created all folders
// before the table. It opens the database only if all of them exist, since SQLite may repair a file when it opens it.
func madeByOldRelease(root *os.Root) bool {
	for _, name := range append(folders, databaseName) {
		if _, err := root.Lstat(name); err != nil {
			return false
		}
	}
	return untilNotBusy(func() error {
		db, err := openDatabase(root.Name(), "rw", 1)
		if err != nil {
			return err
		}
		return db.Close()
	}) == nil
}

// checkTableExists returns an error for a folder that has objects but no table: a new table would not contain
// them, and would hide that the old one is missing.
func checkTableExists(root *os.Root) error {
	object, err := firstFile(root, objectsName)
	if err != nil {
		return folderError(root.Name(), err)
	}
	// Read after the objects, because another process may create the table and then store an object.
	if _, err := root.Lstat(databaseName); object == "" || !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return foreign(root, object, "is there, but the table "+databaseName+" is not: put the table back")
}
