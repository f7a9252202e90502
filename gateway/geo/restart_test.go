package geo_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
)

// A machine is what survives a restart: the operator's files and the data folder.
type machine struct {
	t         *testing.T
	folder    string // of the operator's files
	copies    string
	decided   decisions
	corrected []string // files of corrections
	limits    geo.Limits
}

func newMachine(t *testing.T) *machine {
	folder := t.TempDir()
	return &machine{t: t, folder: folder, copies: filepath.Join(folder, "data"), decided: decisions{}, limits: limits}
}

// start starts with files of the operator's, by name, as a gateway does, until
// just before it watches them.
func (m *machine) start(files ...string) *geo.Locator {
	m.t.Helper()
	options := geo.Options{
		CopyFolder: m.copies, Hold: m.limits, Decided: m.decided.of, Corrections: m.corrected,
		Restricted: func() []policy.Code { return []policy.Code{"FR", "US-MS", policy.Anonymous} },
	}
	for _, name := range files {
		if name != geo.Embedded {
			name = m.path(name)
		}
		options.Files = append(options.Files, name)
	}
	locator := open(m.t, options)
	locator.Review()
	return locator
}

func (m *machine) path(name string) string { return filepath.Join(m.folder, name) }

// run starts, writes copies of what is in use, and stops.
func (m *machine) run(files ...string) *geo.Locator {
	m.t.Helper()
	locator := m.start(files...)
	ctx, stop := context.WithCancel(m.t.Context())
	stop()
	locator.Watch(ctx) // looks at the files once
	return locator
}

// began has run with files, without comparing them with the embedded one.
func (m *machine) began(files ...string) *geo.Locator {
	m.t.Helper()
	m.limits = geo.Limits{}
	defer func() { m.limits = limits }()
	return m.run(files...)
}

// settle runs, and accepts what is held.
func (m *machine) settle(files ...string) {
	m.t.Helper()
	locator := m.run(files...)
	for _, h := range locator.Holds() {
		m.decided[h.SHA256] = geo.Decision{Accepted: true}
	}
	if locator = m.run(files...); len(locator.Holds()) > 0 {
		m.t.Fatalf("accepted, and still held: %v", locator.Holds())
	}
}

// copied returns how many copies there are.
func (m *machine) copied() int {
	copies, _ := filepath.Glob(filepath.Join(m.copies, "*.mmdb"))
	return len(copies)
}

// operators are the files that the machines of these tests have.
func (m *machine) operators() {
	anonymous := func(prefix string) []byte { return geotest.AnonymousIP(m.t, network{prefix: "anonymous_vpn"}) }
	plain := network{}
	for prefix, place := range full {
		plain[prefix] = place[:2]
	}
	moved := with(network{"2.0.0.0/8": "DE", "2.1.0.0/16": "FR", "2a01:cb00::/24": "DE"})
	for name, content := range map[string][]byte{
		"city": geotest.City(m.t, full), "newer": geotest.City(m.t, with(network{"7.0.0.0/8": "JP"})), "moved": geotest.City(m.t, moved),
		"country": geotest.Country(m.t, plain), "newer-country": geotest.Country(m.t, with(network{"3.0.0.0/8": "US", "4.0.0.0/8": "US", "7.0.0.0/8": "JP"})),
		"hollow": geotest.City(m.t, network{"6.0.0.0/24": "MT", "3.0.0.0/24": "US-CA"}),
		"small":  geotest.City(m.t, network{"8.0.0.0/16": "ES"}), "other": geotest.City(m.t, network{"9.0.0.0/16": "IT"}),
		"asn":  geotest.ASN(m.t, network{"2.0.0.0/8": "AS3215 Orange"}),
		"anon": anonymous("9.0.0.0/8"), "newer-anon": anonymous("8.0.0.0/7"), "hollow-anon": anonymous("9.0.0.0/24"),
	} {
		write(m.t, m.path(name), content)
	}
	write(m.t, m.path("same"), geotest.City(m.t, full))
}

// Issue 10, A3: what is compared at a start is what located clients before, whatever
// the files are named now, in which order they are, and how many there are.
func TestReview_whateverTheFilesAreNamed(t *testing.T) {
	type names []string
	french, hidden, mississippi := "2.0.0.7", "9.0.8.7", "3.0.8.7"
	for _, test := range []struct {
		name          string
		before, after names
		lost          string // the address of somebody who would be served; "": nothing is held
	}{
		{"the same", names{"city"}, names{"city"}, ""},
		{"the same content in another file", names{"city"}, names{"same"}, ""},
		{"a newer one in another file", names{"city"}, names{"newer"}, ""},
		{"a hollow one in another file", names{"city"}, names{"hollow"}, french},
		{"one in another file in which France is elsewhere", names{"city"}, names{"moved"}, french},
		{"a hollow one beside a small one that is known", names{"city", "small"}, names{"hollow", "small"}, french},
		{"a hollow one behind a small one that is known", names{"small", "city"}, names{"small", "hollow"}, french},
		{"two in another order, by which none is located elsewhere", names{"city", "small"}, names{"small", "city"}, ""},
		{"two in another order, by which France is elsewhere", names{"city", "moved"}, names{"moved", "city"}, french},
		{"one that is asked before", names{"city"}, names{"moved", "city"}, french},
		{"one that is asked behind", names{"city"}, names{"city", "moved"}, ""},
		{"the City database is gone", names{"city", "country"}, names{"country"}, mississippi},
		{"the City database is gone, and the country database is in another file", names{"city", "country"}, names{"newer-country"}, mississippi},
		{"one is gone that located nobody else", names{"city", "country"}, names{"city"}, ""},
		{"both are in other files, in another order", names{"city", "country"}, names{"newer-country", "newer"}, ""},
		{"the operator's are gone", names{"city"}, names{geo.Embedded}, mississippi},
		{"the one for those who hide is gone", names{"city", "anon"}, names{"city"}, hidden},
		{"a hollow one for those who hide in another file", names{"city", "anon"}, names{"city", "hollow-anon"}, hidden},
		{"a newer one for those who hide in another file", names{"city", "anon"}, names{"newer-anon", "city"}, ""},
		{"all is in other files, and hollow", names{"city", "anon"}, names{"hollow", "hollow-anon"}, hidden},
		{"the one of autonomous systems comes and goes", names{"city", "asn"}, names{"asn", "newer"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(t)
			m.operators()
			before := m.began(test.before...)
			if locator := m.run(test.after...); test.lost == "" {
				if len(locator.Holds()) > 0 {
					t.Errorf("held: %v", locator.Holds())
				}
				if m.copied() != len(test.after) {
					t.Errorf("there are %d copies", m.copied())
				}
				return
			}
			for _, start := range []string{"the first start", "another"} { // as if killed between them, too
				locator := m.start(test.after...)
				if len(locator.Holds()) == 0 {
					t.Fatalf("%s: nothing is held", start)
				}
				address := addr(test.lost)
				want, one := before.Locate(address), locator.Locate(address)
				if other, held := locator.LocateHeld(address); !held || one != want && other != want {
					t.Errorf("%s: %s is %+v and %+v, was %+v", start, address, one, other, want)
				}
				m.run(test.after...)
			}
			m.settle(test.after...)
			clear(m.decided)
			if locator := m.start(test.after...); len(locator.Holds()) > 0 {
				t.Errorf("what was accepted and is in use is held again: %v", locator.Holds())
			}
			files := slices.DeleteFunc(slices.Clone(test.after), func(name string) bool { return name == geo.Embedded })
			if m.copied() != len(files) {
				t.Errorf("there are %d copies of %d files", m.copied(), len(files))
			}
		})
	}
}

// A file that is replaced is compared by what all locate together: one that is asked
// before others can take clients from these.
func TestReload_holdsByAllTogether(t *testing.T) {
	m := newMachine(t)
	m.operators()
	m.began("small", "city", "country")
	locator := m.start("small", "city", "country")
	reload := func(name, content string) {
		t.Helper()
		geotest.Replace(t, m.path(name), m.read(content))
		if err := locator.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	reload("country", "hollow")
	if holds := locator.Holds(); len(holds) > 0 {
		t.Errorf("held is one that located nobody: %v", holds)
	}
	reload("small", "moved")
	if holds := locator.Holds(); len(holds) != 1 || !holds[0].Rejectable() || locator.Locate(addr("2.0.0.7")) != in("FR") {
		t.Errorf("France is elsewhere, held are %v", holds)
	}
}

// One file in the place of another, under another name, is decided on as if it had
// been renamed over it.
func TestReview_decisionsOnAnotherFile(t *testing.T) {
	m := newMachine(t)
	m.operators()
	m.began("city", "anon")
	content, err := os.ReadFile(m.path("hollow"))
	if err != nil {
		t.Fatal(err)
	}
	hollow := sha256Of(content)
	check := func(what string, locator *geo.Locator, country policy.Code, held, wrong bool) {
		t.Helper()
		if got := locator.Locate(addr("2.0.0.7")); got.Country != country {
			t.Errorf("%s: it is located as %+v", what, got)
		}
		if holds := locator.Holds(); held != (len(holds) == 1) || held && (holds[0].SHA256 != hollow || holds[0].Path != m.path("hollow") || !holds[0].Rejectable()) {
			t.Errorf("%s: held are %v", what, holds)
		}
		if d := locator.Databases()[0]; d.Path != m.path("hollow") || (d.Err != nil) != wrong {
			t.Errorf("%s: %+v", what, d)
		}
	}
	locator := m.run("hollow", "anon")
	check("held", locator, "FR", true, false)
	m.decided[hollow] = geo.Decision{Rejected: "ada: broken"}
	locator.Reconsider()
	check("rejected", locator, "FR", false, true)
	check("rejected, after a restart", m.run("hollow", "anon"), "FR", false, true)
	check("rejected, after two", m.run("hollow", "anon"), "FR", false, true)
	delete(m.decided, hollow)
	locator = m.run("hollow", "anon")
	check("not rejected any more", locator, "FR", true, false)
	m.decided[hollow] = geo.Decision{Accepted: true}
	locator.Reconsider()
	check("accepted", locator, "", false, false)
	check("accepted, after a restart", m.run("hollow", "anon"), "", false, false)
}

// That a database may be used whatever it lacks doesn't mean that another one, which
// has it, may be taken away.
func TestReview_whatIsTakenAwayIsDecidedOnByItself(t *testing.T) {
	m := newMachine(t)
	m.operators()
	m.settle("city") // held against the embedded one, and accepted
	m.settle("city", "anon")
	locator := m.run("city")
	if holds := locator.Holds(); len(holds) != 1 || holds[0].Rejectable() {
		t.Fatalf("held are %v", holds)
	}
	if len(m.decided) != 1 {
		t.Fatalf("decided were %v", m.decided)
	}
	m.decided[locator.Holds()[0].SHA256] = geo.Decision{Accepted: true}
	locator.Reconsider()
	if len(locator.Holds()) > 0 {
		t.Error("accepted, and still held")
	}
}

// The copies of the run before stay until it is decided whether others take their
// place; then they go.
func TestCopies_ofAFileUnderEverOtherNames(t *testing.T) {
	m := newMachine(t)
	m.operators()
	m.corrected = []string{m.path("offices.csv")}
	write(t, m.corrected[0], []byte("198.51.100.0/24,DE,,,\n"))
	m.began("city")
	for i := range 5 {
		name := fmt.Sprint("City_2026110", i)
		write(t, m.path(name), geotest.City(t, with(network{fmt.Sprintf("7.%d.0.0/16", i): "JP"})))
		if locator := m.run(name); len(locator.Holds()) > 0 {
			t.Fatalf("%s is held: %v", name, locator.Holds())
		}
		if m.copied() != 2 {
			t.Errorf("there are %d copies, of one database and one file of corrections", m.copied())
		}
		if err := os.Remove(m.path(name)); err != nil {
			t.Fatal(err)
		}
		if got := m.start(name).Locate(addr("2.0.0.7")); got != in("FR") {
			t.Errorf("by the copy of %s it is %+v", name, got)
		}
	}
}

// A process that is killed while it writes copies has the ones before, too.
func TestReview_afterAKillBetweenTwoCopies(t *testing.T) {
	m := newMachine(t)
	m.operators()
	m.began("city", "anon")
	before := m.folderOfCopies()
	m.began("newer", "newer-anon")
	after := m.folderOfCopies()
	var written []string // by the second run, in its order: copies, then what names them
	for name := range after {
		if _, same := before[name]; !same {
			written = append(written, name)
		}
	}
	slices.Sort(written) // what names the copies is written last
	for n := range len(written) + 1 {
		for name, content := range before {
			write(t, filepath.Join(m.copies, name), content)
		}
		for _, name := range written[:n] {
			write(t, filepath.Join(m.copies, name), after[name])
		}
		locator := m.start("hollow", "hollow-anon")
		if got := locator.Locate(addr("2.0.0.7")); len(locator.Holds()) == 0 || got != in("FR") {
			t.Errorf("with %d copies of the next run it is %+v, held: %v", n, got, locator.Holds())
		}
	}
}

// folderOfCopies returns the content of the files in the folder of copies.
func (m *machine) folderOfCopies() map[string][]byte {
	m.t.Helper()
	all := map[string][]byte{}
	entries, err := os.ReadDir(m.copies)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, e := range entries {
		if all[e.Name()], err = os.ReadFile(filepath.Join(m.copies, e.Name())); err != nil {
			m.t.Fatal(err)
		}
	}
	return all
}

// What can't be read of the run before is made up for by the embedded one; what can
// be read counts.
func TestReview_aCopyThatCannotBeRead(t *testing.T) {
	m := newMachine(t)
	m.operators()
	m.began("city", "anon")
	for name, content := range m.folderOfCopies() {
		if len(content) > 0 && filepath.Ext(name) == ".mmdb" && sha256Of(content) == sha256Of(m.read("city")) {
			write(t, filepath.Join(m.copies, name), []byte("cut"))
		}
	}
	if locator := m.start("city", "newer-anon"); len(locator.Holds()) > 0 {
		t.Errorf("the file is there, and its copy isn't needed: %v", locator.Holds())
	}
	locator := m.start("hollow", "hollow-anon")
	if holds := locator.Holds(); !slices.ContainsFunc(holds, func(h geo.Hold) bool { return h.Against == geo.Embedded }) {
		t.Errorf("held are %v", holds)
	}
	if got, _ := locator.LocateHeld(addr("133.11.0.1")); got != in("JP") {
		t.Errorf("by the embedded one it is %+v", got)
	}
	hidden := addr("9.0.8.7")
	if held, _ := locator.LocateHeld(hidden); !locator.Locate(hidden).Anonymous && !held.Anonymous {
		t.Error("who hides isn't seen any more")
	}
}

// If it can't be read which copies were in use, those that there are count.
func TestReview_theNamesOfCopiesCannotBeRead(t *testing.T) {
	for name, damage := range map[string]func(content []byte) []byte{
		"cut":     func(content []byte) []byte { return content[:len(content)/2] },
		"empty":   func([]byte) []byte { return nil },
		"changed": func(content []byte) []byte { content[len(content)-2] ^= 1; return content },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.operators()
			m.began("city", "anon")
			write(t, filepath.Join(m.copies, "in-use"), damage(m.folderOfCopies()["in-use"]))
			if locator := m.start("newer", "anon"); len(locator.Holds()) > 0 {
				t.Errorf("held: %v", locator.Holds())
			}
			if locator := m.start("hollow", "hollow-anon"); len(locator.Holds()) != 2 {
				t.Errorf("held: %v", locator.Holds())
			}
			if locator := m.start("country"); len(locator.Holds()) != 2 { // and that there is no other one
				t.Errorf("held: %v", locator.Holds())
			}
		})
	}
}

func (m *machine) read(name string) []byte {
	m.t.Helper()
	content, err := os.ReadFile(m.path(name))
	if err != nil {
		m.t.Fatal(err)
	}
	return content
}

// Earlier versions kept copies by path, of all files that there ever were, and
// didn't say which of them were in use.
func TestReview_folderOfAnEarlierVersion(t *testing.T) {
	for _, test := range []struct {
		name   string
		before []string // the last one is the latest
		after  []string
		held   bool
	}{
		{"the same", []string{"small", "moved", "city"}, []string{"city"}, false},
		{"the same, and one that may have located others", []string{"small", "city"}, []string{"city"}, true},
		{"another file", []string{"city"}, []string{"newer"}, false},
		{"a hollow one in another file", []string{"other", "city"}, []string{"hollow"}, true},
		{"a hollow one beside a small one that is known", []string{"small", "city"}, []string{"hollow", "small"}, true},
		{"the one for those who hide is gone", []string{"anon", "city", "newer"}, []string{"newer"}, true},
		{"a hollow one for those who hide", []string{"city", "anon"}, []string{"city", "hollow-anon"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(t)
			m.operators()
			if err := os.Mkdir(m.copies, 0o700); err != nil {
				t.Fatal(err)
			}
			for day, name := range test.before {
				sum := func(content []byte) string { return sha256Of(content)[:16] }
				file := filepath.Join(m.copies, sum([]byte(m.path(name)))+"-"+sum(m.read(name))+".mmdb")
				write(t, file, m.read(name))
				at := geotest.Build().AddDate(0, 0, day)
				if err := os.Chtimes(file, at, at); err != nil {
					t.Fatal(err)
				}
			}
			locator := m.run(test.after...)
			if held := len(locator.Holds()) > 0; held != test.held {
				t.Errorf("held: %v", locator.Holds())
			}
			if !test.held && m.copied() != len(test.after) {
				t.Errorf("there are %d copies", m.copied())
			}
		})
	}
}

// The folder of copies as commit 803cf21 wrote it.
func TestReview_folderOf803cf21(t *testing.T) {
	m := newMachine(t)
	m.operators()
	m.copies = filepath.Join(testkit.Unpack(t, "803cf21/file.tar.gz"), "file", "geo")
	write(t, m.path("written"), testkit.Written(t, "803cf21/geo.mmdb"))
	if locator := m.start("written"); len(locator.Holds()) > 0 {
		t.Errorf("held: %v", locator.Holds())
	}
	before := open(t, geo.Options{Files: []string{m.path("written")}})
	write(t, m.path("nothing"), geotest.City(t, network{"6.0.0.0/24": "MT"}))
	locator := m.run("nothing")
	if len(locator.Holds()) != 1 || m.copied() != 1 {
		t.Fatalf("held: %v, copies: %d", locator.Holds(), m.copied())
	}
	for code := range before.Capability().Places {
		if !locator.Capability().Finds(code) {
			t.Errorf("%s isn't found any more", code)
		}
	}
}

// What databases cover together is what look-ups find.
func TestCover_isWhatLookUpsFind(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	codes := []string{"FR", "FR-IDF", "DE", "US-MS", "US-CA", "US"}
	for range 20 {
		var databases [][]byte
		for range 2 + random.IntN(2) {
			networks := network{}
			for range 40 {
				bits := 3 + random.IntN(11)
				networks[fmt.Sprintf("%s/%d", prefix(byte(random.IntN(256)), byte(random.IntN(256)), bits), bits)] = codes[random.IntN(len(codes))]
			}
			if random.IntN(3) == 0 {
				for prefix := range networks {
					networks[prefix] = "anonymous_vpn"
				}
				databases = append(databases, geotest.AnonymousIP(t, networks))
				continue
			}
			databases = append(databases, geotest.City(t, networks, geotest.RecordSize([]int{24, 28, 32}[random.IntN(3)])))
		}
		databases = append(databases, geotest.City(t, network{"1.0.0.0/8": "FR", "2a01:cb00::/24": "FR"}))
		locator := openFiles(t, databases...)
		want := map[policy.Code]float64{}
		for high := range 1 << 14 { // no network is narrower
			place := geo.LocateAny(locator, addr(fmt.Sprintf("%d.%d.0.0", high>>6, high&63<<2)))
			for _, code := range []policy.Code{place.Country, place.Subdivisions[0]} {
				if code != "" {
					want[code] += 1 << 18
				}
			}
			if place.Anonymous {
				want[policy.Anonymous] += 1 << 18
			}
		}
		got := map[policy.Code]float64{}
		for code, c := range geo.Cover(locator) {
			if c.All.IPv4 > 0 {
				got[code] = c.All.IPv4
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if got := geo.Cover(locator)["FR"].All.IPv6; got != 1<<24 {
			t.Errorf("of France there are %v networks", got)
		}
	}
}

// prefix is the address of a network.
func prefix(a, b byte, bits int) string {
	high := (uint16(a)<<8 | uint16(b)) &^ (1<<(16-bits) - 1)
	return fmt.Sprintf("%d.%d.0.0", high>>8, high&255)
}
