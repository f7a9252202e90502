package geo_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/policy"
)

// full has a country whose loss counts, and some that don't.
var full = network{
	"2.0.0.0/8": "FR", "3.0.0.0/8": "US-MS", "4.0.0.0/8": "US-CA", "5.0.0.0/8": "DE", "6.0.0.0/24": "MT",
	"2a01:cb00::/24": "FR", "2a02:8100::/24": "DE",
}

// with returns full, changed.
func with(changes network) network {
	all := network{}
	for prefix, place := range full {
		all[prefix] = place
	}
	for prefix, place := range changes {
		if place == "" {
			delete(all, prefix)
		} else {
			all[prefix] = place
		}
	}
	return all
}

var limits = geo.Limits{Coverage: 10, Jurisdiction: 33}

// Issue 10, A3: a valid but hollow database opened markets.
func TestReload_holdsWhatHasLostTooMuch(t *testing.T) {
	restricted := func() []policy.Code { return []policy.Code{"FR", "US-MS"} }
	for _, test := range []struct {
		name  string
		after network
		held  bool
	}{
		{"one network of 256 addresses", network{"6.0.0.0/24": "MT", "3.0.0.0/24": "US-CA"}, true},
		{"a country is gone, to another one", with(network{"5.0.0.0/8": "AT"}), true},
		{"IPv6 is gone", with(network{"2a01:cb00::/24": "", "2a02:8100::/24": ""}), true},
		{"a restricted place is gone", with(network{"3.0.0.0/8": "US-CA"}), true},
		{"a restricted place has lost half, to another country", with(network{"2.0.0.0/9": "BE"}), true},
		{"a restricted place has lost a third of its IPv6", with(network{"2a01:cb00::/25": "BE"}), true},
		{"a restricted place has lost a quarter", with(network{"2.0.0.0/10": "BE"}), false},
		{"an open place has lost half", with(network{"5.0.0.0/9": "AT"}), false},
		{"a small open country is gone", with(network{"6.0.0.0/24": ""}), false},
		{"there is more", with(network{"7.0.0.0/8": "JP"}), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := geotest.File(t, geotest.City(t, full))
			locator := open(t, geo.Options{Files: []string{path}, Hold: limits, Restricted: restricted})
			geotest.Replace(t, path, geotest.City(t, test.after))
			if err := locator.Reload(); err != nil {
				t.Fatal(err)
			}
			if held := len(locator.Holds()) > 0; held != test.held {
				t.Errorf("held: %v %v", held, locator.Holds())
			}
		})
	}
}

func TestHold_decisions(t *testing.T) {
	path := geotest.File(t, geotest.City(t, full))
	copies := t.TempDir()
	options := geo.Options{Files: []string{path}, Hold: limits, CopyFolder: copies}
	locator := open(t, options)
	hollow := geotest.City(t, network{"2.0.0.0/8": "BE", "9.0.0.0/24": "FR-IDF"})
	french := addr("2.0.0.7")

	hold := func() {
		t.Helper()
		geotest.Replace(t, path, hollow)
		if err := locator.Reload(); err != nil {
			t.Fatal(err)
		}
		if got := locator.Locate(french); got != in("FR") {
			t.Errorf("it is located as %+v", got)
		}
		if got, held := locator.LocateHeld(french); !held || got != in("BE") {
			t.Errorf("by what is held it is located as %+v, held: %v", got, held)
		}
	}
	hold()
	if allocs := testing.AllocsPerRun(100, func() { locator.Locate(french); locator.LocateHeld(french) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if err := locator.Accept("another"); err == nil {
		t.Error("one that isn't held can be accepted")
	}

	// Rejected: the one before, and an error until the file changes.
	if err := locator.Reject(path, "broken"); err != nil {
		t.Fatal(err)
	}
	if _, held := locator.LocateHeld(french); held || locator.Databases()[0].Err == nil {
		t.Error("what was rejected is still held, or not said to be")
	}
	_ = locator.Reload() // the error that is said
	if len(locator.Holds()) > 0 {
		t.Error("what was rejected is held again")
	}

	// The file of before again, and then the hollow one again.
	geotest.Replace(t, path, geotest.City(t, full))
	if err := locator.Reload(); err != nil || locator.Databases()[0].Err != nil {
		t.Fatal(err, locator.Databases())
	}
	hold()
	geotest.Replace(t, path, geotest.City(t, full))
	if err := locator.Reload(); err != nil || len(locator.Holds()) > 0 {
		t.Errorf("the good one is there again: %v %v", err, locator.Holds())
	}

	hold()
	if err := locator.Accept(path); err != nil {
		t.Fatal(err)
	}
	if got := locator.Locate(french); got != in("BE") || len(locator.Holds()) > 0 {
		t.Errorf("accepted, it is located as %+v", got)
	}
	// A start goes on with what was accepted.
	locator = open(t, options)
	locator.Review()
	if len(locator.Holds()) > 0 {
		t.Errorf("at a start it is held again: %v", locator.Holds())
	}
}

// At a start the databases are compared with those of the last run, at a first
// one with the embedded one.
func TestReview(t *testing.T) {
	path := geotest.File(t, geotest.City(t, full))
	options := geo.Options{Files: []string{path}, Hold: limits, CopyFolder: t.TempDir(), Restricted: func() []policy.Code { return []policy.Code{"FR"} }}
	locator := open(t, options)
	locator.Review()
	if holds := locator.Holds(); len(holds) != 1 || holds[0].Against != geo.Embedded {
		t.Fatalf("at a first start a small database is not held against the embedded one: %v", holds)
	}
	japanese := addr("133.11.0.1") // the embedded one has it
	if got, held := locator.LocateHeld(japanese); !held || got != in("JP") {
		t.Errorf("by the embedded one it is %+v, %v", got, held)
	}
	if err := locator.Reject(path, "broken"); err == nil {
		t.Error("there is nothing to go back to")
	}
	if err := locator.Accept(path); err != nil || len(locator.Holds()) > 0 {
		t.Fatal(err, locator.Holds())
	}

	geotest.Replace(t, path, geotest.City(t, with(network{"2.0.0.0/8": "BE"})))
	locator = open(t, options)
	locator.Review()
	if holds := locator.Holds(); len(holds) != 1 || holds[0].Against != path {
		t.Fatalf("at a later start it isn't held against that of the last run: %v", holds)
	}
	if got := locator.Locate(addr("2.0.0.7")); got != in("FR") {
		t.Errorf("it is located as %+v", got)
	}

	// The embedded one alone is never held.
	locator = open(t, geo.Options{Hold: limits})
	locator.Review()
	if len(locator.Holds()) > 0 {
		t.Error("the embedded one is held")
	}
}

// A pipe, a device or a folder in a database's place blocks nothing.
func TestOpen_whatIsNoFile(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe.mmdb")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	for _, path := range []string{pipe, "/dev/zero", t.TempDir()} {
		if _, err := geo.Open(geo.Options{Files: []string{path}}); err == nil {
			t.Errorf("%s is taken for a database", path)
		}
	}
	path := geotest.File(t, geotest.City(t, full))
	locator := open(t, geo.Options{Files: []string{path}})
	if err := os.Rename(pipe, path); err != nil {
		t.Fatal(err)
	}
	if err := locator.Reload(); err == nil || locator.Locate(addr("2.0.0.7")) != in("FR") {
		t.Errorf("a pipe in the place of a database: %v", err)
	}
}
