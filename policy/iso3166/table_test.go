package iso3166

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTables_areAsGenerated(t *testing.T) {
	recorded, err := os.ReadFile("SOURCE.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(recorded), "two tables: "+sum(string(countries+subdivisions))+"\n") {
		t.Errorf("countries.txt or subdivisions.txt was edited by hand: run go generate ./policy/iso3166")
	}
	files, err := filepath.Glob("internal/generate/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(content)
	}
	if !strings.Contains(string(recorded), "internal/generate: "+sum(source.String())+"\n") {
		t.Errorf("internal/generate has changed since the tables were written: run go generate ./policy/iso3166")
	}
}

func sum(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

func TestTables_areSortedAndHaveEachCodeOnce(t *testing.T) {
	for name, table := range map[string]table{
		"countries": countries, "subdivisions": subdivisions,
		"aliases": aliases, "renamed": renamed, "wrongCodes": wrongCodes,
	} {
		last := ""
		for line := range table.lines() {
			if code := codeOf(line); code <= last {
				t.Errorf("%s: %s comes after %s", name, code, last)
			} else {
				last = code
			}
			if found, ok := table.find(last); !ok || found != line {
				t.Errorf("%s: find(%q) = %q, %v, want %q", name, last, found, ok, line)
			}
		}
	}
}

// Subdivisions begins its search at "US-", which isn't a code, and reads on to
// the first line of another country: no code may sort between.
func TestTableFrom_betweenLines(t *testing.T) {
	letters := table("B 1\nD 2\nF 3\n")
	for code, want := range map[string]table{
		"":  letters,
		"A": letters,
		"B": letters,
		"C": "D 2\nF 3\n",
		"D": "D 2\nF 3\n",
		"E": "F 3\n",
		"G": "",
	} {
		if got := letters.from(code); got != want {
			t.Errorf("from(%q) = %q, want %q", code, got, want)
		}
	}
	if got := table("").from("A"); got != "" {
		t.Errorf("from an empty table: %q", got)
	}
}

func TestTables_nameKnownCodes(t *testing.T) {
	known := func(code string) bool {
		_, country := LookupCountry(code)
		_, subdivision := LookupSubdivision(code)
		return country || subdivision
	}
	for name, table := range map[string]table{"aliases": aliases, "renamed": renamed, "wrongCodes": wrongCodes} {
		for line := range table.lines() {
			if !known(second(line)) {
				t.Errorf("%s: %q leads to no known code", name, line)
			}
			if name != "aliases" && known(codeOf(line)) {
				t.Errorf("%s: %q leads away from a known code", name, line)
			}
		}
	}
}

func TestAliases_areTerritoriesOfTheSameCountry(t *testing.T) {
	for line := range aliases.lines() {
		country, _ := LookupCountry(second(line)[:2])
		if sovereign := line[:2]; country.Sovereign != sovereign && country.Code != "TW" && country.Code != "XK" {
			t.Errorf("%q, but %s isn't a territory of %s", line, country.Code, sovereign)
		}
	}
	if !slices.Equal(Territories("FR"), strings.Fields("BL GF GP MF MQ NC PF PM RE TF WF YT")) {
		t.Error("the territories of FR have changed: see whether aliases has them all")
	}
}
