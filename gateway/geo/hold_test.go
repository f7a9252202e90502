package geo_test

import (
	"crypto/sha256"
	"fmt"
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

// decisions are what was decided, by SHA-256.
type decisions map[string]geo.Decision

func (d decisions) of(sha256 string) geo.Decision { return d[sha256] }

// sha256Of is of a file's content, in hexadecimal.
func sha256Of(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

func TestHold_decisions(t *testing.T) {
	path := geotest.File(t, geotest.City(t, full))
	decided := decisions{}
	options := geo.Options{Files: []string{path}, Hold: limits, CopyFolder: t.TempDir(), Decided: decided.of}
	locator := open(t, options)
	hollow := geotest.City(t, network{"2.0.0.0/8": "BE", "9.0.0.0/24": "FR-IDF"})
	french := addr("2.0.0.7")

	replace := func(content []byte) {
		t.Helper()
		geotest.Replace(t, path, content)
		_ = locator.Reload() // its error is that of Databases
	}
	check := func(what string, country policy.Code, held, wrong bool) {
		t.Helper()
		if got := locator.Locate(french); got != in(country) {
			t.Errorf("%s: it is located as %+v", what, got)
		}
		if _, is := locator.LocateHeld(french); is != held || len(locator.Holds()) > 0 != held {
			t.Errorf("%s: held: %v %v", what, is, locator.Holds())
		}
		if err := locator.Databases()[0].Err; (err != nil) != wrong {
			t.Errorf("%s: %v", what, err)
		}
	}
	restart := func() {
		t.Helper()
		locator = open(t, options)
		locator.Review()
	}

	replace(hollow)
	check("a hollow one", "FR", true, false)
	if got, _ := locator.LocateHeld(french); got != in("BE") || locator.Holds()[0].SHA256 != sha256Of(hollow) {
		t.Errorf("by what is held it is located as %+v; %v", got, locator.Holds())
	}
	if allocs := testing.AllocsPerRun(100, func() { locator.Locate(french); locator.LocateHeld(french) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	locator.Reconsider()
	check("while nobody has decided", "FR", true, false)

	decided[sha256Of(hollow)] = geo.Decision{Rejected: "ada: broken"}
	locator.Reconsider()
	check("rejected", "FR", false, true)
	_ = locator.Reload()
	check("rejected, and read again", "FR", false, true)
	replace(geotest.City(t, full))
	check("the one before again", "FR", false, false)
	replace(hollow)
	check("what was rejected again", "FR", false, true)
	other := geotest.City(t, with(network{"2.0.0.0/8": "NL"}))
	replace(other)
	check("another hollow one", "FR", true, false)
	replace(hollow)
	check("swapped twice", "FR", false, true)

	delete(decided, sha256Of(hollow)) // somebody has accepted it, and more are needed
	locator.Reconsider()
	check("not rejected any more", "FR", true, false)
	decided[sha256Of(hollow)] = geo.Decision{Accepted: true}
	locator.Reconsider()
	check("accepted", "BE", false, false)
	restart()
	check("a start with what was accepted", "BE", false, false)

	// As if the process had been killed between the decision and its effect.
	options.CopyFolder = t.TempDir()
	geotest.Replace(t, path, geotest.City(t, full))
	restart()
	decided[locator.Holds()[0].SHA256] = geo.Decision{Accepted: true} // against the embedded one
	locator.Reconsider()
	check("a first start", "FR", false, false)
	geotest.Replace(t, path, hollow)
	restart()
	check("a start with what is accepted already", "BE", false, false)

	decided[sha256Of(other)] = geo.Decision{Rejected: "ada: broken"}
	geotest.Replace(t, path, other)
	restart()
	check("a start with what is rejected already, before there is another copy", "FR", false, true)
}

// At a start the databases are compared with those of the last run, at a first
// one with the embedded one.
func TestReview(t *testing.T) {
	content := geotest.City(t, full)
	path := geotest.File(t, content)
	decided := decisions{}
	options := geo.Options{
		Files: []string{path}, Hold: limits, CopyFolder: t.TempDir(), Decided: decided.of,
		Restricted: func() []policy.Code { return []policy.Code{"FR"} },
	}
	locator := open(t, options)
	locator.Review()
	if holds := locator.Holds(); len(holds) != 1 || holds[0].Against != geo.Embedded || holds[0].SHA256 != sha256Of(content) {
		t.Fatalf("at a first start a small database is not held against the embedded one: %v", holds)
	}
	japanese := addr("133.11.0.1") // the embedded one has it
	if got, held := locator.LocateHeld(japanese); !held || got != in("JP") {
		t.Errorf("by the embedded one it is %+v, %v", got, held)
	}
	decided[sha256Of(content)] = geo.Decision{Rejected: "ada: broken"} // at another gateway
	locator.Reconsider()
	if len(locator.Holds()) != 1 {
		t.Error("there is nothing to go back to")
	}
	decided[sha256Of(content)] = geo.Decision{Accepted: true}
	locator.Reconsider()
	if len(locator.Holds()) > 0 {
		t.Fatal(locator.Holds())
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

	// A copy that is damaged is none: then it is a first start.
	copies, err := filepath.Glob(filepath.Join(options.CopyFolder, "*.mmdb"))
	if err != nil || len(copies) != 1 || os.WriteFile(copies[0], []byte("cut"), 0o600) != nil {
		t.Fatal(copies, err)
	}
	locator = open(t, options)
	locator.Review()
	if holds := locator.Holds(); len(holds) != 1 || holds[0].Against != geo.Embedded {
		t.Errorf("with a damaged copy it isn't held against the embedded one: %v", holds)
	}

	// The embedded one alone is never held.
	locator = open(t, geo.Options{Hold: limits})
	locator.Review()
	if len(locator.Holds()) > 0 {
		t.Error("the embedded one is held")
	}
}

// One database under two names is decided on once; several that locate clients
// together at a first start, together.
func TestHold_isAboutTheContent(t *testing.T) {
	content := geotest.City(t, full)
	a, b := geotest.File(t, content), geotest.File(t, geotest.City(t, network{"8.0.0.0/8": "ES"}))
	decided := decisions{}
	options := geo.Options{Files: []string{a, b}, Hold: limits, Decided: decided.of}
	locator := open(t, options)
	locator.Review()
	decided[sha256Of(content)] = geo.Decision{Accepted: true}
	locator.Reconsider()
	if len(locator.Holds()) != 1 || locator.Holds()[0].SHA256 == sha256Of(content) {
		t.Errorf("two were accepted as one of them was: %v", locator.Holds())
	}
	decided[locator.Holds()[0].SHA256] = geo.Decision{Accepted: true}
	locator.Reconsider()
	if len(locator.Holds()) > 0 {
		t.Error("both were accepted")
	}
	elsewhere := geotest.File(t, content)
	locator = open(t, geo.Options{Files: []string{elsewhere}, Hold: limits, Decided: decided.of})
	locator.Review()
	if len(locator.Holds()) > 0 {
		t.Errorf("what was accepted is held under another name: %v", locator.Holds())
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
