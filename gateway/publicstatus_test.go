package gateway_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy"
)

// Issue 11, 1: the public status names whoever is refused, also in territories and
// groups, and whatever holds for all that isn't named.
func TestThePublicStatusIsTrueOfTheRequests(t *testing.T) {
	clock := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	g := start(t, setup{now: func() time.Time { return clock }, policy: `version: 1
groups: {baltic-sea: [DE]}
jurisdictions:
  FR: {phase: withdrawn, territories: [RE]}
  baltic-sea: withdrawn
  US-MS: {phase: withdrawn, unknown-part: withhold}
  UA-43: withdrawn
  private: open
`})
	type market struct {
		Places       []policy.Code
		UnknownParts []policy.Code `json:"unknown-parts"`
		Phase        policy.Phase
	}
	var is struct {
		AsOf    time.Time `json:"as-of"`
		Version string
		Default policy.Phase
		Markets []market
	}
	ask := func(accept string) string {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, "https://"+host+policy.StatusPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"X-Forwarded-For": {germany}, "Accept": {accept}}
		res, err := g.client(1).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		a, err := read(res)
		if err != nil {
			t.Fatal(err)
		}
		return a.body
	}
	if err := json.Unmarshal([]byte(ask("application/json")), &is); err != nil {
		t.Fatal(err)
	}
	if !is.AsOf.Equal(clock) || is.Default != policy.Open {
		t.Errorf("it is as of %v, by default %v", is.AsOf, is.Default)
	}
	for address, code := range map[string]policy.Code{
		france: "FR", reunion: "RE", guadeloupe: "GP", germany: "DE", mississippi: "US-MS", california: "US-CA", crimea: "UA-43", ukraine: "UA", ireland: "IE", america: "US?",
	} {
		listed := slices.ContainsFunc(is.Markets, func(m market) bool {
			unknown := strings.HasSuffix(string(code), "?") && slices.Contains(m.UnknownParts, code[:2])
			return m.Phase == policy.Withdrawn && (slices.Contains(m.Places, code) || unknown)
		})
		if refused := g.request(g.client(1), "/", address).status == 451; listed != refused {
			t.Errorf("%s is refused: %v; by the public status: %v", code, refused, listed)
		}
	}
	html := ask("text/html")
	for _, want := range []string{"Réunion", "Everywhere else", "2026-10-01 12:00 UTC", is.Version} {
		if !strings.Contains(html, want) {
			t.Errorf("the page doesn't say %q:\n%s", want, html)
		}
	}
}
