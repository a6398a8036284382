package sepia_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"imagery/app/sepia"
)

// TestReadAhead: rows, errors and panics reach the reader on one core and on several.
func TestReadAhead(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const width, height = 1000, 3000 // a dozen blocks
	damaged := errors.New("damaged")
	for name, end := range map[string]func() ([]byte, error){
		"error": func() ([]byte, error) { return nil, damaged },
		"panic": func() ([]byte, error) { panic("of the decoder") },
	} {
		for _, cores := range []int{1, 2} {
			for _, last := range []int{0, 1, 262, 263, 2000, height} {
				t.Run(fmt.Sprintf("%s after %d rows, %d cores", name, last, cores), func(t *testing.T) {
					runtime.GOMAXPROCS(cores)
					row, read := make([]byte, width), 0
					next := func() ([]byte, error) {
						if read == last {
							return end()
						}
						row[0], row[width-1] = byte(read), byte(read>>8)
						read++
						return row, nil
					}
					sepia.ReadAhead(width, height, next, func(next func() ([]byte, error)) {
						checkRows(t, next, last, last < height && name == "panic", damaged)
					})
				})
			}
		}
	}
}

// checkRows reads rows up to the last and what follows.
func checkRows(t *testing.T, next func() ([]byte, error), last int, panics bool, want error) {
	defer func() {
		if v := recover(); panics != (v != nil) || panics && !strings.Contains(fmt.Sprint(v), "of the decoder") {
			t.Errorf("panicked with %v", v)
		}
	}()
	for y := range last {
		row, err := next()
		if err != nil || row[0] != byte(y) || row[len(row)-1] != byte(y>>8) {
			t.Fatalf("row %d: %v", y, err)
		}
	}
	if last == 3000 {
		return
	}
	if _, err := next(); err != want {
		t.Errorf("got %v, want %v", err, want)
	}
}

// TestReadAheadIsGivenUp: the goroutine ends when rows are left.
func TestReadAheadIsGivenUp(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	before, row := runtime.NumGoroutine(), make([]byte, 1000)
	for range 20 {
		sepia.ReadAhead(1000, 3000, func() ([]byte, error) { return row, nil },
			func(next func() ([]byte, error)) { next() })
	}
	if now := runtime.NumGoroutine(); now >= before+20 {
		t.Errorf("%d goroutines, %d before", now, before)
	}
}
