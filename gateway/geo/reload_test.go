package geo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
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

func TestReload(t *testing.T) {
	later, earlier := geotest.Built(geotest.Build().AddDate(0, 0, 3)), geotest.Built(geotest.Build().AddDate(0, 0, -3))
	city := func(code string, options ...geotest.Option) []byte {
		return geotest.City(t, network{"81.2.69.0/24": code}, options...)
	}
	for _, test := range []struct {
		name       string
		old, new   []byte
		allowOlder bool
		want       policy.Place
		wantErr    bool
	}{
		{"another of the same day", country(t, "GB"), country(t, "IE"), false, in("IE"), false},
		{"newer", country(t, "GB"), country(t, "IE", later), false, in("IE"), false},
		{"older", country(t, "GB"), country(t, "IE", earlier), false, in("GB"), true},
		{"older, permitted", country(t, "GB"), country(t, "IE", earlier), true, in("IE"), false},
		{"with subdivisions", country(t, "US"), city("US-MS"), false, in("US", "US-MS"), false},
		{"without subdivisions", city("US-MS"), country(t, "US"), false, in("US", "US-MS"), true},
		{"of another vendor", country(t, "GB"), geotest.IPLocationCountry(t, network{"81.2.69.0/24": "IE"}), false, in("IE"), false},
		{"of another role", country(t, "GB"), geotest.ASN(t, network{"81.2.69.0/24": "AS1 One"}), false, in("GB"), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := geotest.File(t, test.old)
			locator := open(t, geo.Options{Files: []string{path}, AllowOlder: test.allowOlder})
			geotest.Replace(t, path, test.new)
			if err := locator.Reload(); (err != nil) != test.wantErr || err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("error %v", err)
			}
			if got := locator.Locate(addr(someone)); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// What is logged, counted and listed at each step. The same error is logged once.
func TestReload_log(t *testing.T) {
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
			outcome := "reloaded"
			if err != nil {
				outcome = "invalid"
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
			fmt.Fprintf(&log, "listed: invalid since %s, in use is %s\n", database.Since.Format(time.TimeOnly), database.Build.Format(time.DateOnly))
		} else if !database.Since.IsZero() {
			t.Errorf("%s: valid, since %s", step.name, database.Since)
		}
		fmt.Fprintln(&log, "located:", locator.Locate(addr(someone)).Country)
	}
	testkit.Golden(t, "testdata/life.txt", strings.NewReplacer(path, "FILE", syscall.ENOENT.Error(), "ENOENT").Replace(log.String()))
}

// watched opens a file, watches it and returns the results of its reloads.
func watched(t *testing.T, path string) (*geo.Locator, <-chan error) {
	t.Helper()
	reloads := make(chan error, 1000)
	locator := open(t, geo.Options{Files: []string{path}, OnReload: func(_ string, err error) { reloads <- err }})
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { locator.Watch(ctx) })
	t.Cleanup(func() {
		cancel()
		watching.Wait()
	})
	return locator, reloads
}

// How files change is tested with internal/watch.
func TestWatch(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, path string, content []byte){
		"renamed over": func(t *testing.T, path string, content []byte) { geotest.Replace(t, path, content) },
		"written in parts": func(t *testing.T, path string, content []byte) {
			write(t, path, content[:len(content)/2])
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.Write(content[len(content)/2:]); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := geotest.File(t, country(t, "GB"))
			locator, reloads := watched(t, path)
			change(t, path, country(t, "IE"))
			for locator.Locate(addr(someone)) != in("IE") {
				<-reloads
			}
			if err := locator.Databases()[0].Err; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWatch_seesAChangeSinceOpen(t *testing.T) {
	path := geotest.File(t, country(t, "GB"))
	reloaded := make(chan error, 1)
	locator := open(t, geo.Options{Files: []string{path}, OnReload: func(_ string, err error) { reloaded <- err }})
	geotest.Replace(t, path, country(t, "IE"))
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { locator.Watch(ctx) })
	if err := <-reloaded; err != nil || locator.Locate(addr(someone)) != in("IE") {
		t.Errorf("not reloaded: %v", err)
	}
	cancel()
	watching.Wait()
}

func TestWatch_endsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	open(t, geo.Options{}).Watch(ctx)
}

// Every other replacement is garbage.
func TestReload_hundredTimesUnderLoad(t *testing.T) {
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

// For the race detector.
func TestLocator_concurrentUse(t *testing.T) {
	path := geotest.File(t, country(t, "GB"))
	locator, _ := watched(t, path)
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
