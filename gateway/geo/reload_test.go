package geo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const someone = "81.2.69.142"

// country is a database in which someone is in a country.
func country(t testing.TB, code string, options ...geotest.Option) []byte {
	return geotest.Country(t, network{"81.2.69.0/24": code, "2.0.0.0/16": "FR"}, options...)
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAReplacementIsTakenUpOrRefused(t *testing.T) {
	later, earlier := geotest.Built(geotest.Build().AddDate(0, 0, 3)), geotest.Built(geotest.Build().AddDate(0, 0, -3))
	city := func(code string, options ...geotest.Option) []byte {
		return geotest.City(t, network{"81.2.69.0/24": code}, options...)
	}
	for _, test := range []struct {
		name       string
		old, new   []byte
		allowOlder bool
		want       policy.Place
		wantErr    string // what comes after the file's name
	}{
		{"another of the same day is taken up", country(t, "GB"), country(t, "IE"), false, in("IE"), ""},
		{"a newer one is taken up", country(t, "GB"), country(t, "IE", later), false, in("IE"), ""},
		{"an older one is refused", country(t, "GB"), country(t, "IE", earlier), false, in("GB"),
			"was built at 2026-10-29T00:00:00Z, before the one in use (2026-11-01T00:00:00Z): permit older databases if that is meant"},
		{"an older one is taken up if permitted", country(t, "GB"), country(t, "IE", earlier), true, in("IE"), ""},
		{"a finer one is taken up", country(t, "US"), city("US-MS"), false, in("US", "US-MS"), ""},
		{"a coarser one is refused", city("US-MS"), country(t, "US"), false, in("US", "US-MS"),
			`is of type "GeoLite2-Country" and has no subdivisions, where "GeoLite2-City", which has, is in use: restart exitgate if that is meant`},
		{"another vendor's is taken up", country(t, "GB"), geotest.IPLocationCountry(t, network{"81.2.69.0/24": "IE"}), false, in("IE"), ""},
		{"one of another role is refused", country(t, "GB"), geotest.ASN(t, network{"81.2.69.0/24": "AS1 One"}), false, in("GB"),
			`is of type "GeoLite2-ASN" (asn), where "GeoLite2-Country" (place) is in use: restart exitgate if that is meant`},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := geotest.File(t, test.old)
			locator := open(t, geo.Options{Files: []string{path}, AllowOlder: test.allowOlder})
			geotest.Replace(t, path, test.new)
			said := ""
			if err := locator.Reload(); err != nil {
				said = strings.TrimPrefix(err.Error(), "geo database "+path+" ")
			}
			if said != test.wantErr {
				t.Errorf("got  %s\nwant %s", said, test.wantErr)
			}
			if got := locator.Locate(addr(someone)); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestAfterABadReplacementTheOldOneServes(t *testing.T) {
	for _, bad := range badFiles(t) {
		t.Run(bad.name, func(t *testing.T) {
			path := geotest.File(t, country(t, "GB"))
			locator := open(t, geo.Options{Files: []string{path}})
			geotest.Replace(t, path, bad.content)
			if err := locator.Reload(); err == nil {
				t.Error("taken up")
			}
			if got := locator.Locate(addr(someone)); got != in("GB") {
				t.Errorf("got %+v, want GB", got)
			}
			geotest.Replace(t, path, country(t, "IE"))
			if err := locator.Reload(); err != nil {
				t.Error(err)
			}
			if got := locator.Locate(addr(someone)); got != in("IE") {
				t.Errorf("got %+v, want IE", got)
			}
		})
	}
}

// The whole life of a file: what is logged, counted and listed at each step.
// The same trouble is told once.
func TestWhatIsSaidOfAFileThatChanges(t *testing.T) {
	var log bytes.Buffer
	path := geotest.File(t, country(t, "GB"))
	clock := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	good := country(t, "IE")
	locator := open(t, geo.Options{
		Files: []string{path},
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		})),
		Now: func() time.Time { return clock },
		OnReload: func(path string, err error) {
			outcome := "taken up"
			if err != nil {
				outcome = "refused"
			}
			fmt.Fprintln(&log, "counted:", outcome)
		},
	})
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"nothing has changed", func() {}},
		{"another content", func() { geotest.Replace(t, path, good) }},
		{"the same content in a new file", func() { geotest.Replace(t, path, good) }},
		{"vanished", func() { os.Remove(path) }},
		{"still vanished", func() {}},
		{"empty", func() { write(t, path, nil) }},
		{"still empty", func() {}},
		{"cut", func() { write(t, path, good[:100]) }},
		{"cut elsewhere, with the same result", func() { write(t, path, good[:200]) }},
		{"the one in use again", func() { write(t, path, good) }},
		{"an older one", func() { write(t, path, country(t, "DE", geotest.Built(geotest.Build().AddDate(-1, 0, 0)))) }},
		{"a newer one", func() { write(t, path, country(t, "DE", geotest.Built(geotest.Build().AddDate(0, 0, 7)))) }},
	} {
		clock = clock.Add(time.Hour)
		fmt.Fprintf(&log, "\n# %s\n", step.name)
		step.do()
		err := locator.Reload()
		database := locator.Databases()[0]
		if !errors.Is(err, database.Err) {
			t.Errorf("%s: Reload says %v, Databases %v", step.name, err, database.Err)
		}
		if database.Err != nil {
			fmt.Fprintf(&log, "listed: trouble since %s, in use is %s\n", database.Since.Format(time.TimeOnly), database.Build.Format(time.DateOnly))
		} else if !database.Since.IsZero() {
			t.Errorf("%s: no trouble, since %s", step.name, database.Since)
		}
		fmt.Fprintln(&log, "located:", locator.Locate(addr(someone)).Country)
	}
	testkit.Golden(t, "testdata/life.txt", strings.NewReplacer(path, "FILE", syscall.ENOENT.Error(), "ENOENT").Replace(log.String()))
}

// watched opens a file, watches it and returns what it takes up or refuses.
func watched(t *testing.T, path string, options geo.Options) (*geo.Locator, <-chan error) {
	t.Helper()
	outcomes := make(chan error, 1000)
	options.Files = []string{path}
	options.OnReload = func(_ string, err error) { outcomes <- err }
	locator := open(t, options)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- locator.Watch(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch: %v", err)
		}
	})
	return locator, outcomes
}

func await(t *testing.T, outcomes <-chan error) error {
	t.Helper()
	select {
	case err := <-outcomes:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was taken up or refused")
		return nil
	}
}

func TestAChangeIsTakenUpHoweverItIsMade(t *testing.T) {
	kubernetes := func(t *testing.T) string { // a ConfigMap's volume
		dir := t.TempDir()
		for _, step := range []error{
			os.Mkdir(filepath.Join(dir, "..1"), 0o755),
			os.WriteFile(filepath.Join(dir, "..1", "geo.mmdb"), country(t, "GB"), 0o644),
			os.Symlink("..1", filepath.Join(dir, "..data")),
			os.Symlink(filepath.Join("..data", "geo.mmdb"), filepath.Join(dir, "geo.mmdb")),
		} {
			if step != nil {
				t.Fatal(step)
			}
		}
		return filepath.Join(dir, "geo.mmdb")
	}
	plain := func(t *testing.T) string { return geotest.File(t, country(t, "GB")) }
	never := time.Hour
	for _, test := range []struct {
		name   string
		file   func(t *testing.T) string
		poll   time.Duration
		change func(t *testing.T, path string)
	}{
		{"by renaming", plain, never, func(t *testing.T, path string) { geotest.Replace(t, path, country(t, "IE")) }},
		{"by writing it in place", plain, never, func(t *testing.T, path string) { write(t, path, country(t, "IE")) }},
		{"by removing it first", plain, never, func(t *testing.T, path string) {
			os.Remove(path)
			write(t, path, country(t, "IE"))
		}},
		{"in parts", plain, never, func(t *testing.T, path string) {
			content := country(t, "IE")
			write(t, path, content[:len(content)/2])
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.Write(content[len(content)/2:]); err != nil {
				t.Fatal(err)
			}
		}},
		{"by Kubernetes", kubernetes, never, func(t *testing.T, path string) {
			dir := filepath.Dir(path)
			for _, step := range []error{
				os.Mkdir(filepath.Join(dir, "..2"), 0o755),
				os.WriteFile(filepath.Join(dir, "..2", "geo.mmdb"), country(t, "IE"), 0o644),
				os.Symlink("..2", filepath.Join(dir, "..data_tmp")),
				os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")),
				os.RemoveAll(filepath.Join(dir, "..1")),
			} {
				if step != nil {
					t.Fatal(step)
				}
			}
		}},
		{"where the link leads to", func(t *testing.T) string {
			link := filepath.Join(t.TempDir(), "link.mmdb")
			if err := os.Symlink(geotest.File(t, country(t, "GB")), link); err != nil {
				t.Fatal(err)
			}
			return link
		}, never, func(t *testing.T, path string) {
			target, err := filepath.EvalSymlinks(path)
			if err != nil {
				t.Fatal(err)
			}
			geotest.Replace(t, target, country(t, "IE"))
		}},
		{"with its folder, of which no event tells", func(t *testing.T) string {
			dir := filepath.Join(t.TempDir(), "folder")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "geo.mmdb")
			write(t, path, country(t, "GB"))
			return path
		}, 10 * time.Millisecond, func(t *testing.T, path string) {
			dir := filepath.Dir(path)
			next := dir + ".next"
			for _, step := range []error{
				os.Mkdir(next, 0o755),
				os.WriteFile(filepath.Join(next, "geo.mmdb"), country(t, "IE"), 0o644),
				os.Rename(dir, dir+".old"),
				os.Rename(next, dir),
			} {
				if step != nil {
					t.Fatal(step)
				}
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := test.file(t)
			locator, outcomes := watched(t, path, geo.Options{Poll: test.poll})
			test.change(t, path)
			for locator.Locate(addr(someone)) != in("IE") {
				await(t, outcomes)
			}
			if err := locator.Databases()[0].Err; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAChangeBetweenOpenAndWatchIsSeen(t *testing.T) {
	path := geotest.File(t, country(t, "GB"))
	taken := make(chan error, 1)
	locator := open(t, geo.Options{Files: []string{path}, OnReload: func(_ string, err error) { taken <- err }})
	geotest.Replace(t, path, country(t, "IE"))
	ctx, cancel := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	watch.Go(func() { _ = locator.Watch(ctx) })
	if err := await(t, taken); err != nil || locator.Locate(addr(someone)) != in("IE") {
		t.Errorf("not taken up: %v", err)
	}
	cancel()
	watch.Wait()
}

func TestWatchingTheEmbeddedDatabaseEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := open(t, geo.Options{}).Watch(ctx); err != nil {
		t.Error(err)
	}
}

// Done-when 5 of the first issue, as far as it is about databases: replaced a
// hundred times under load, every other time by garbage.
func TestAHundredReplacementsDisturbNoLookup(t *testing.T) {
	path := geotest.File(t, country(t, "GB"))
	locator := open(t, geo.Options{Files: []string{path}})
	answers := map[policy.Place]bool{in("GB"): true, in("IE"): true}

	var stop atomic.Bool
	var lookups, wrong atomic.Int64
	var load sync.WaitGroup
	load.Go(func() {
		for !stop.Load() {
			if !answers[locator.Locate(addr(someone))] || locator.Locate(addr("2.0.0.1")) != in("FR") {
				wrong.Add(1)
			}
			lookups.Add(1)
		}
	})

	large := largeCity(t, 5_000)
	garbage := [][]byte{large[:len(large)-1]}
	for _, bad := range badFiles(t) {
		garbage = append(garbage, bad.content)
	}
	good := map[policy.Code][]byte{"GB": country(t, "GB"), "IE": country(t, "IE")}
	goroutines, heap := runtime.NumGoroutine(), inUse()
	for i := range 100 {
		if i%2 == 0 {
			geotest.Replace(t, path, garbage[i/2%len(garbage)])
			if err := locator.Reload(); err == nil {
				t.Fatal("garbage was taken up")
			}
			continue
		}
		want := []policy.Code{"IE", "GB"}[i/2%2]
		geotest.Replace(t, path, good[want])
		if err := locator.Reload(); err != nil {
			t.Fatal(err)
		}
		if got := locator.Locate(addr(someone)); got != in(want) {
			t.Fatalf("got %+v, want %s", got, want)
		}
	}
	growth := inUse() - heap
	stop.Store(true)
	load.Wait()

	if wrong.Load() != 0 || lookups.Load() == 0 {
		t.Errorf("%d of %d look-ups were wrong", wrong.Load(), lookups.Load())
	}
	if now := runtime.NumGoroutine(); now > goroutines {
		t.Errorf("%d goroutines, before %d", now, goroutines)
	}
	if growth > 1<<20 {
		t.Errorf("the heap grew by %d bytes", growth)
	}
}

func inUse() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// largeCity is a City database of n records that all differ.
func largeCity(t testing.TB, n int) []byte {
	t.Helper()
	networks := network{}
	states := []string{"US-MS", "US-CA", "FR-IDF FR-75", "DE-BY", "GB-ENG", "BR-SP", "IN-KA"}
	for i := range n {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(20 + i>>16), byte(i >> 8), byte(i), 0}), 24)
		networks[prefix.String()] = fmt.Sprintf("%s AS%d", states[i%len(states)], i+1)
	}
	return geotest.City(t, networks)
}

// Look-ups while a watched file changes and its state is asked for: for the
// race detector.
func TestAllMethodsMayBeCalledAtOnce(t *testing.T) {
	path := geotest.File(t, country(t, "GB"))
	locator, _ := watched(t, path, geo.Options{Poll: time.Millisecond})
	var calls sync.WaitGroup
	for i := range 4 {
		calls.Go(func() {
			for range 50 {
				locator.Locate(addr(someone))
				locator.Describe(addr(someone))
				locator.Databases()
				if i == 0 {
					geotest.Replace(t, path, country(t, "IE"))
				}
				if i == 1 {
					_ = locator.Reload()
				}
			}
		})
	}
	calls.Wait()
	if diff := cmp.Diff(in("IE"), locator.Locate(addr(someone))); diff != "" {
		_ = locator.Reload() // the last replacement may have come after the last reload
		if diff := cmp.Diff(in("IE"), locator.Locate(addr(someone))); diff != "" {
			t.Error(diff)
		}
	}
}
