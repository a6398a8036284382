package main

import (
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRoomsPicture compares the picture of the packages with the imports: every package is drawn, every arrow is an
// import, and every import is an arrow or follows from others.
func TestRoomsPicture(t *testing.T) {
	source := readFile(t, "../docs/rooms.dot")
	rooms, arrows := readDot(source)
	room := func(pkg string) string {
		for p := pkg; p != "."; p = path.Dir(p) {
			if label, drawn := rooms[p]; drawn {
				if p != pkg && !slices.Contains(strings.Fields(label), path.Base(pkg)) {
					t.Errorf("package %s is not in the label of %s: %q", pkg, p, label)
				}
				return p
			}
		}
		t.Errorf("package %s is not drawn", pkg)
		return ""
	}
	imports := map[[2]string]bool{}
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "imagery/app/...", "imagery/infra/...") {
		f := strings.Fields(line)
		from := strings.TrimPrefix(f[0], "imagery/")
		if strings.Contains(from, "testing") {
			continue
		}
		for _, to := range f[1:] {
			if to, ours := strings.CutPrefix(to, "imagery/"); ours && room(from) != room(to) {
				imports[[2]string{room(from), room(to)}] = true
			}
		}
	}
	for arrow := range arrows {
		if !imports[arrow] {
			t.Errorf("the arrow from %s to %s is not an import", arrow[0], arrow[1])
		}
	}
	for i := range imports {
		if !reaches(arrows, i[0], i[1]) {
			t.Errorf("the import of %s by %s is not drawn", i[1], i[0])
		}
		if reaches(arrows, i[1], i[0]) {
			t.Errorf("the import of %s by %s points up", i[1], i[0])
		}
	}
	picture := readFile(t, "../docs/rooms.svg")
	for name := range rooms {
		if !strings.Contains(picture, "<title>"+name+"</title>") {
			t.Errorf("%s is missing in docs/rooms.svg: dot -Tsvg docs/rooms.dot -o docs/rooms.svg", name)
		}
	}
	for arrow := range arrows {
		if !strings.Contains(picture, "<title>"+arrow[0]+"&#45;&gt;"+arrow[1]+"</title>") {
			t.Errorf("%s -> %s is missing in docs/rooms.svg: dot -Tsvg docs/rooms.dot -o docs/rooms.svg", arrow[0], arrow[1])
		}
	}
}

// readDot returns the nodes of a graph with their labels, and its arrows. A side of an arrow is a name or a set.
func readDot(source string) (rooms map[string]string, arrows map[[2]string]bool) {
	rooms, arrows = map[string]string{}, map[[2]string]bool{}
	name := regexp.MustCompile(`"((?:app|infra)[\w/]*)"`)
	for line := range strings.Lines(source) {
		if from, to, arrow := strings.Cut(line, " -> "); arrow {
			for _, f := range name.FindAllStringSubmatch(from, -1) {
				for _, t := range name.FindAllStringSubmatch(to, -1) {
					arrows[[2]string{f[1], t[1]}] = true
				}
			}
			continue
		}
		for _, m := range regexp.MustCompile(name.String()+`(?: \[label="([^"]*)")?`).FindAllStringSubmatch(line, -1) {
			rooms[m[1]] = strings.ReplaceAll(m[2], `\n`, " ")
		}
	}
	return rooms, arrows
}

// reaches reports whether a path of arrows leads from one room to another.
func reaches(arrows map[[2]string]bool, from, to string) bool {
	for a := range arrows {
		if a[0] == from && (a[1] == to || reaches(arrows, a[1], to)) {
			return true
		}
	}
	return false
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
