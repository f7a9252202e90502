package groups_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy/groups"
	"github.com/exitgate/exitgate/policy/iso3166"
)

func TestAll_numberOfMembers(t *testing.T) {
	want := map[string]int{
		"ASEAN":             11,
		"African-Union":     55,
		"Andean-Community":  4,
		"Benelux":           3,
		"CPTPP":             12,
		"Commonwealth":      56,
		"Council-of-Europe": 46,
		"EAEU":              5,
		"EEA":               30 + 7,
		"EFTA":              4,
		"EU":                27 + 7,
		"Eurozone":          21 + 7,
		"Five-Eyes":         5,
		"GB-nations":        4,
		"GCC":               6,
		"Mercosur":          5,
		"NATO":              32,
		"Schengen":          29 + 1,
		"USMCA":             3,
	}
	for _, g := range groups.All() {
		if len(g.Members) != want[g.Name] {
			t.Errorf("%s has %d members, want %d: %v", g.Name, len(g.Members), want[g.Name], g.Members)
		}
		delete(want, g.Name)
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
}

func TestLookup_EU(t *testing.T) {
	eu := members(t, "EU")
	for _, in := range strings.Fields("FR DE IE HR BG GF GP MF MQ RE YT AX") {
		if !slices.Contains(eu, in) {
			t.Errorf("%s isn't in the EU", in)
		}
	}
	for _, out := range strings.Fields("GB GI JE CH NO IS LI BL PM NC PF TF WF GL FO AW BQ CW SX") {
		if slices.Contains(eu, out) {
			t.Errorf("%s is in the EU", out)
		}
	}
}

func TestLookup_groupsWithinGroups(t *testing.T) {
	for group, parts := range map[string][]string{
		"EEA":      {"EU"},
		"EU":       {"Eurozone", "Benelux"},
		"Schengen": {"EFTA", "Benelux"},
	} {
		all := members(t, group)
		for _, part := range parts {
			for _, member := range members(t, part) {
				if !slices.Contains(all, member) {
					t.Errorf("%s of %s isn't in %s", member, part, group)
				}
			}
		}
	}
}

func TestAll_membersAreKnownCodes(t *testing.T) {
	for _, g := range groups.All() {
		if !slices.IsSorted(g.Members) || len(slices.Compact(slices.Clone(g.Members))) != len(g.Members) {
			t.Errorf("%s: members unsorted or twice: %v", g.Name, g.Members)
		}
		for _, code := range g.Members {
			_, country := iso3166.LookupCountry(code)
			_, subdivision := iso3166.LookupSubdivision(code)
			if !country && !subdivision {
				t.Errorf("%s: %s is no code of ISO 3166", g.Name, code)
			}
		}
	}
}

func TestAll_haveASource(t *testing.T) {
	url := regexp.MustCompile(`; https?://[^ ]+$`)
	for _, g := range groups.All() {
		if g.Title == "" || !url.MatchString(g.Source) {
			t.Errorf("%s: no title, or no URL at the end of the source: %q", g.Name, g.Source)
		}
		if _, err := time.Parse(time.DateOnly, g.AsOf); err != nil {
			t.Errorf("%s: as-of date: %v", g.Name, err)
		}
	}
}

func TestAll_namesAreNoJurisdictions(t *testing.T) {
	for _, g := range groups.All() {
		if code := iso3166.Closest(g.Name); code != "" {
			t.Errorf("%s reads like %s", g.Name, code)
		}
		switch strings.ToLower(g.Name) {
		case "unlocated", "private", "anonymous", "default":
			t.Errorf("%s is a pseudo-jurisdiction", g.Name)
		}
	}
}

func TestLookup(t *testing.T) {
	var names []string
	for _, g := range groups.All() {
		names = append(names, g.Name)
		if found, ok := groups.Lookup(g.Name); !ok || found.Name != g.Name || !slices.Equal(found.Members, g.Members) {
			t.Errorf("Lookup(%q) = %+v, %v", g.Name, found, ok)
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("names aren't sorted: %v", names)
	}
	for _, name := range []string{"", "eu", "FR", "AU", "ZZ", "BRICS"} {
		if g, ok := groups.Lookup(name); ok {
			t.Errorf("Lookup(%q) = %+v, want nothing", name, g)
		}
	}
}

func TestAll_returnsCopies(t *testing.T) {
	groups.All()[0].Members[0] = "ZZ"
	members(t, "EU")[0] = "ZZ"
	for _, g := range groups.All() {
		if slices.Contains(g.Members, "ZZ") {
			t.Errorf("%s has the change", g.Name)
		}
	}
}

func members(t *testing.T, name string) []string {
	t.Helper()
	g, ok := groups.Lookup(name)
	if !ok {
		t.Fatalf("no group %s", name)
	}
	return g.Members
}
