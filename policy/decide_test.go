package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/internal/policytest"
)

// compile is Parse and Compile for documents that have to be good.
func compile(t testing.TB, source string, at time.Time) *policy.Snapshot {
	t.Helper()
	return policy.Compile(parse(t, source), nil, at)
}

// from reads a place: "US", "FR/FR-IDF/FR-75C", "private", "unlocated", each
// perhaps followed by " anonymous".
func from(text string) policy.Place {
	text, anonymous := strings.CutSuffix(text, " anonymous")
	place := policy.Place{Anonymous: anonymous}
	switch text {
	case "private":
		place.Private = true
	case "unlocated":
	default:
		codes := strings.Split(text, "/")
		place.Country = policy.Code(codes[0])
		for i, code := range codes[1:] {
			place.Subdivisions[i] = policy.Code(code)
		}
	}
	return place
}

// decide decides a request of a place: "POST example.org/signup".
func decide(t testing.TB, s *policy.Snapshot, place, request string) *policy.Decision {
	t.Helper()
	method, target, found := strings.Cut(request, " ")
	if !found {
		method, target = "GET", request
	}
	host, path, _ := strings.Cut(target, "/")
	d, inDoubt := s.DecideReadings(from(place), s.Classify(method, host, "/"+path))
	if inDoubt {
		t.Fatalf("%s is ambiguous", request)
	}
	return d
}

// sentence says what a decision is.
func sentence(d *policy.Decision) string {
	feature := ""
	if d.Feature {
		feature = ", a feature"
	}
	return fmt.Sprintf("%s %s: %s by %s (%s%s)", d.Action, d.Jurisdiction, d.Phase, d.Entry, d.Reason, feature)
}

func TestTheMostSpecificEntryGoverns(t *testing.T) {
	const start = "version: 1\ngroups: {ours: [FR, GP, FR-IDF, FR-75C, DE], islands: [GP]}\njurisdictions:\n"
	for _, test := range []struct{ name, entries, place, want string }{
		{"a second-level subdivision over its first-level one",
			"FR-75C: open, FR-IDF: withdrawn, FR: withdrawn, ours: withdrawn, EU: withdrawn",
			"FR/FR-IDF/FR-75C", "forward FR-75C: open by FR-75C (entry)"},
		{"a first-level subdivision over the country",
			"FR-IDF: wind-down, FR: open, ours: withdrawn, EU: withdrawn",
			"FR/FR-IDF/FR-75C", "refuse FR-IDF: wind-down by FR-IDF (entry)"},
		{"a country over the groups",
			"FR: announced, ours: withdrawn, EU: withdrawn",
			"FR/FR-IDF/FR-75C", "forward FR: announced by FR (entry)"},
		{"a country, for another of its subdivisions",
			"FR-IDF: withdrawn, FR: announced, EU: withdrawn",
			"FR/FR-ARA", "forward FR: announced by FR (entry)"},
		{"a territory's own entry over that of its country",
			"GP: open, FR: {phase: withdrawn, territories: true}, EU: withdrawn",
			"GP", "forward GP: open by GP (entry)"},
		{"a country over the operator's group, for its territory",
			"FR: {phase: announced, territories: true}, islands: withdrawn, EU: withdrawn",
			"GP", "forward GP: announced by FR (territory)"},
		{"the operator's group over a built-in one, for a territory that isn't included",
			"FR: announced, islands: open, EU: withdrawn",
			"GP", "forward GP: open by islands (group)"},
		{"the operator's group over a built-in one",
			"ours: announced, EU: withdrawn",
			"DE/DE-BE", "forward DE: announced by ours (group)"},
		{"a built-in group over the default",
			"EU: withdrawn",
			"DE/DE-BE", "refuse DE: withdrawn by EU (group)"},
		{"the default where nothing matches",
			"EU: withdrawn, US-MS: withdrawn",
			"US/US-AL", "forward US: open by default (default)"},
		{"a subdivision of which the database knows only the second level",
			"FR-75C: withdrawn, FR-IDF: open",
			"FR/FR-75C", "refuse FR-75C: withdrawn by FR-75C (entry)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := compile(t, start+"  {"+test.entries+"}\n", moment)
			if got := sentence(decide(t, s, test.place, "/")); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestOfSeveralGroupsTheMostRestrictiveGoverns(t *testing.T) {
	for _, test := range []struct{ name, document, place, request, want string }{
		{"of two built-in ones",
			"jurisdictions: {NATO: announced, EU: withdrawn, Five-Eyes: open}",
			"DE", "/", "refuse DE: withdrawn by EU (group)"},
		{"of those that the place belongs to",
			"jurisdictions: {NATO: announced, EU: withdrawn, Five-Eyes: open}",
			"US", "/", "forward US: announced by NATO (group)"},
		{"of two of the operator's, whatever the built-in ones say",
			"groups: {one: [DE], two: [DE, AT]}\njurisdictions: {one: announced, two: closed-to-new, EU: withdrawn}",
			"DE", "/", "forward DE: closed-to-new by two (group)"},
		{"the first by name, where they restrict alike",
			"jurisdictions: {NATO: withdrawn, EU: withdrawn, EEA: withdrawn}",
			"DE", "/", "refuse DE: withdrawn by EEA (group)"},
		{"class by class, where they are limited to some",
			"routes: {news: [/news/]}\njurisdictions: {NATO: {phase: withdrawn, routes: [news]}, EU: announced}",
			"DE", "/news/", "refuse DE: withdrawn by NATO (group, a feature)"},
		{"class by class, where they are limited to others",
			"routes: {news: [/news/]}\njurisdictions: {NATO: {phase: withdrawn, routes: [news]}, EU: announced}",
			"DE", "/", "forward DE: announced by EU (group)"},
		{"what is refused counts more than a later phase",
			"routes: {sign-up: [/signup]}\njurisdictions: {NATO: {phase: withdrawn, routes: [other]}, EU: closed-to-new}",
			"DE", "/signup", "refuse DE: closed-to-new by EU (group)"},
		{"of a group with the subdivision and one with its country",
			"groups: {capitals: [FR-75C], wine: [FR]}\njurisdictions: {capitals: announced, wine: withdrawn}",
			"FR/FR-IDF/FR-75C", "/", "refuse FR-75C: withdrawn by wine (group)"},
		{"of a group with the subdivision and one with the subdivision around it",
			"groups: {capitals: [FR-75C], regions: [FR-IDF]}\njurisdictions: {capitals: announced, regions: withdrawn}",
			"FR/FR-IDF/FR-75C", "/", "refuse FR-75C: withdrawn by regions (group)"},
		{"but the operator's over a built-in one with the subdivision around it",
			"groups: {london: [GB-LND]}\njurisdictions: {london: announced, GB-nations: withdrawn}",
			"GB/GB-ENG/GB-LND", "/", "forward GB-LND: announced by london (group)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := compile(t, "version: 1\n"+test.document+"\n", moment)
			if got := sentence(decide(t, s, test.place, test.request)); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestMarketsThatOperatorsAskFor(t *testing.T) {
	for _, test := range []struct {
		name, entries string
		want          map[string]string
	}{
		{"EU withdrawn, Ireland served", "{EU: withdrawn, IE: open}", map[string]string{
			"IE":        "forward IE: open by IE (entry)",
			"IE/IE-D":   "forward IE: open by IE (entry)",
			"DE":        "refuse DE: withdrawn by EU (group)",
			"RE":        "refuse RE: withdrawn by EU (group)",
			"GB":        "forward GB: open by default (default)",
			"unlocated": "forward unlocated: open by default (default)",
		}},
		{"France with its territories, but Réunion served", "{FR: {phase: withdrawn, territories: true}, RE: open}", map[string]string{
			"FR": "refuse FR: withdrawn by FR (entry)",
			"GP": "refuse GP: withdrawn by FR (territory)",
			"PF": "refuse PF: withdrawn by FR (territory)",
			"RE": "forward RE: open by RE (entry)",
			"MC": "forward MC: open by default (default)",
		}},
		{"France without its territories", "{FR: withdrawn}", map[string]string{
			"FR": "refuse FR: withdrawn by FR (entry)",
			"GP": "forward GP: open by default (default)",
		}},
		{"Russia, and Crimea by both codes", "{RU: withdrawn, UA-43: withdrawn}", map[string]string{
			"RU":        "refuse RU: withdrawn by RU (entry)",
			"UA/UA-43":  "refuse UA-43: withdrawn by UA-43 (entry)",
			"UA/UA-30":  "forward UA: open by default (default)",
			"UA":        "forward UA: open by default (default)",
			"RU/RU-MOS": "refuse RU: withdrawn by RU (entry)",
		}},
		{"Mississippi refused, the rest of the US served", "{US-MS: withdrawn}", map[string]string{
			"US/US-MS": "refuse US-MS: withdrawn by US-MS (entry)",
			"US/US-AL": "forward US: open by default (default)",
			"US":       "forward US: open by default (default)",
			"CA/US-MS": "forward CA: open by default (default)", // no place, but a database may say so
		}},
		{"the nations of the United Kingdom", "{GB-nations: withdrawn}", map[string]string{
			"GB/GB-ENG":        "refuse GB-ENG: withdrawn by GB-nations (group)",
			"GB/GB-ENG/GB-LND": "refuse GB-ENG: withdrawn by GB-nations (group)",
			"GB":               "forward GB: open by default (default)",
			"GB/GB-nations":    "forward GB: open by default (default)", // not a code that a database gives
			"GG":               "forward GG: open by default (default)",
		}},
		{"the nations of the United Kingdom, and all of it", "{GB-nations: withdrawn, GB: announced}", map[string]string{
			"GB/GB-ENG": "forward GB: announced by GB (entry)",
			"GB":        "forward GB: announced by GB (entry)",
		}},
		{"the nations of the United Kingdom, and one of them", "{GB-nations: withdrawn, GB-SCT: open}", map[string]string{
			"GB/GB-SCT": "forward GB-SCT: open by GB-SCT (entry)",
			"GB/GB-WLS": "refuse GB-WLS: withdrawn by GB-nations (group)",
		}},
		{"whom no database knows", "{unlocated: withdrawn}", map[string]string{
			"unlocated": "refuse unlocated: withdrawn by unlocated (entry)",
			"ZZ":        "refuse unlocated: withdrawn by unlocated (entry)",
			"EU":        "refuse unlocated: withdrawn by unlocated (entry)",
			"fr":        "refuse unlocated: withdrawn by unlocated (entry)",
			"FRA":       "refuse unlocated: withdrawn by unlocated (entry)",
			"private":   "forward private: open by default (default)",
			"XK":        "forward XK: open by default (default)",
		}},
		{"whom no database knows, though there is an entry for the group EU", "{EU: withdrawn}", map[string]string{
			"EU": "forward unlocated: open by default (default)",
		}},
		{"the operator's own network", "{private: withdrawn}", map[string]string{
			"private":   "refuse private: withdrawn by private (entry)",
			"unlocated": "forward unlocated: open by default (default)",
		}},
		{"who hides, besides where they seem to be", "{anonymous: closed-to-new, FR: withdrawn, DE: announced}", map[string]string{
			"FR anonymous":        "refuse FR: withdrawn by FR (entry)",
			"DE anonymous":        "forward DE: closed-to-new by anonymous (anonymous)",
			"DE":                  "forward DE: announced by DE (entry)",
			"US anonymous":        "forward US: closed-to-new by anonymous (anonymous)",
			"unlocated anonymous": "forward unlocated: closed-to-new by anonymous (anonymous)",
			"private anonymous":   "forward private: closed-to-new by anonymous (anonymous)",
		}},
		{"who hides, and restricted no more than where they seem to be", "{anonymous: withdrawn, EU: withdrawn}", map[string]string{
			"DE anonymous": "refuse DE: withdrawn by EU (group)",
		}},
		{"who hides can't be opened", "{anonymous: open, EU: withdrawn}", map[string]string{
			"DE anonymous": "refuse DE: withdrawn by EU (group)",
			"US anonymous": "forward US: open by default (default)",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := compile(t, "version: 1\njurisdictions: "+test.entries+"\n", moment)
			got := map[string]string{}
			for place := range test.want {
				got[place] = sentence(decide(t, s, place, "/"))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// classes has a pattern for each route class, one of them for one host.
const classes = `version: 1
routes:
  sign-up: [POST /signup, news.example.com/join]
  export: [/export/]
  essential: [/imprint]
  news: [/news/, news.example.com/]
`

func TestWhatEachPhaseRefuses(t *testing.T) {
	requests := []string{"/", "POST /signup", "/export/all", "/imprint", "/news/today", "news.example.com/today"}
	for phase, want := range map[string]string{
		"open":          "forward forward forward forward forward forward",
		"announced":     "forward forward forward forward forward forward",
		"closed-to-new": "forward refuse forward forward forward forward",
		"wind-down":     "refuse refuse forward forward refuse refuse",
		"withdrawn":     "refuse refuse refuse forward refuse refuse",
	} {
		for _, mode := range []string{"enforce", "observe"} {
			t.Run(phase+" "+mode, func(t *testing.T) {
				s := compile(t, classes+"mode: "+mode+"\njurisdictions: {FR: "+phase+"}\n", moment)
				var got []string
				for _, request := range requests {
					d := decide(t, s, "FR", request)
					got = append(got, d.Action.String())
					if d.Phase.String() != phase {
						t.Errorf("%s: phase %s", request, d.Phase)
					}
				}
				if mode == "observe" {
					want = strings.ReplaceAll(want, "refuse", "would-refuse")
				}
				if got := strings.Join(got, " "); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		}
	}
}

func TestWhatIsAlwaysEssential(t *testing.T) {
	s := compile(t, classes+"jurisdictions: {FR: withdrawn}\n", moment)
	for _, host := range []string{"", "example.org", "news.example.com"} {
		for _, path := range []string{"/.well-known/acme-challenge/token", "/.well-known/market-status", "/.well-known/security.txt", "/robots.txt"} {
			for _, method := range []string{"GET", "HEAD"} {
				if d := decide(t, s, "FR", method+" "+host+path); d.Action != policy.Forward || d.Class != policy.Essential {
					t.Errorf("%s %s%s: %s, class %s", method, host, path, sentence(d), d.Class)
				}
			}
		}
		// C9: it is a file, and an app may run something else for a request of another kind.
		if d := decide(t, s, "FR", "POST "+host+"/robots.txt"); d.Action != policy.Refuse {
			t.Errorf("POST %s/robots.txt: %s", host, sentence(d))
		}
		if d := decide(t, s, "FR", host+"/"); d.Action != policy.Refuse {
			t.Errorf("%s/: %s", host, sentence(d))
		}
	}
}

func TestOneFeatureIsWithdrawnAndNotTheService(t *testing.T) {
	s := compile(t, classes+`jurisdictions:
  CA: {routes: [news], phase: withdrawn}
  BR: {routes: [news, sign-up], phase: closed-to-new}
  NATO: withdrawn
`, moment)
	for _, test := range []struct{ place, request, want string }{
		{"CA", "/news/today", "refuse CA: withdrawn by CA (entry, a feature)"},
		{"CA", "HEAD news.example.com/", "refuse CA: withdrawn by CA (entry, a feature)"},
		{"CA", "/", "forward CA: open by CA (entry)"},
		{"CA", "POST /signup", "forward CA: open by CA (entry)"},
		{"CA", "news.example.com/robots.txt", "forward CA: open by CA (entry)"},
		{"BR", "POST /signup", "refuse BR: closed-to-new by BR (entry, a feature)"},
		{"BR", "/news/today", "forward BR: closed-to-new by BR (entry, a feature)"},
		{"BR", "/", "forward BR: open by BR (entry)"},
		{"US", "/", "refuse US: withdrawn by NATO (group)"},
	} {
		if got := sentence(decide(t, s, test.place, test.request)); got != test.want {
			t.Errorf("%s from %s\n got  %s\n want %s", test.request, test.place, got, test.want)
		}
	}
}

// schedule goes through all phases.
const schedule = `version: 1
routes:
  sign-up: [/signup]
  export: [/export]
jurisdictions:
  FR:
    territories: true
    schedule:
      - {from: 2026-10-01T00:00:00Z, phase: announced}
      - {from: 2026-11-01T00:00:00Z, phase: closed-to-new}
      - {from: 2026-11-15T01:00:00+01:00, phase: wind-down}
      - {from: 2026-12-01T00:00:00Z, phase: withdrawn}
  EU: announced
  US-MS: withdrawn
`

func TestAPhaseBeginsToTheNanosecond(t *testing.T) {
	p := parse(t, schedule)
	for _, test := range []struct{ at, phase, since, until string }{
		{"2020-01-01T00:00:00Z", "open", "", "2026-10-01T00:00:00Z"},
		{"2026-09-30T23:59:59.999999999Z", "open", "", "2026-10-01T00:00:00Z"},
		{"2026-10-01T00:00:00Z", "announced", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"},
		{"2026-10-31T23:59:59.999999999Z", "announced", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"},
		{"2026-11-01T00:00:00Z", "closed-to-new", "2026-11-01T00:00:00Z", "2026-11-15T00:00:00Z"},
		{"2026-11-15T08:59:59.999999999+09:00", "closed-to-new", "2026-11-01T00:00:00Z", "2026-11-15T00:00:00Z"},
		{"2026-11-15T09:00:00+09:00", "wind-down", "2026-11-15T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"2026-11-30T23:59:59.999999999Z", "wind-down", "2026-11-15T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"2026-12-01T00:00:00Z", "withdrawn", "2026-12-01T00:00:00Z", ""},
		{"2200-01-01T00:00:00Z", "withdrawn", "2026-12-01T00:00:00Z", ""},
	} {
		t.Run(test.at, func(t *testing.T) {
			s := policy.Compile(p, nil, policytest.Date(test.at))
			for _, place := range []string{"FR", "FR/FR-IDF", "GP"} {
				d := decide(t, s, place, "/")
				if d.Phase.String() != test.phase {
					t.Errorf("%s: phase %s, want %s", place, d.Phase, test.phase)
				}
				if got := utc(d.Since); got != test.since {
					t.Errorf("%s: since %s, want %s", place, got, test.since)
				}
				announced, sunset := "2026-10-01T00:00:00Z", "2026-12-01T00:00:00Z"
				if test.phase == "open" {
					announced, sunset = "", "" // what isn't announced yet stays unsaid
				}
				if utc(d.Announced) != announced || utc(d.Sunset) != sunset {
					t.Errorf("%s: announced %s, sunset %s, want %s, %s", place, utc(d.Announced), utc(d.Sunset), announced, sunset)
				}
			}
			if got := utc(s.Until()); got != test.until {
				t.Errorf("holds until %s, want %s", got, test.until)
			}
			if !s.At().Equal(policytest.Date(test.at)) {
				t.Errorf("holds at %s", s.At())
			}
		})
	}
}

func utc(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339Nano)
}

func TestAPhaseWithoutADateHasNoDates(t *testing.T) {
	s := compile(t, schedule, moment)
	for _, place := range []string{"US/US-MS", "DE"} {
		if d := decide(t, s, place, "/"); d.Phase == policy.Open || !d.Since.IsZero() || !d.Announced.IsZero() || !d.Sunset.IsZero() {
			t.Errorf("%s: %+v", place, d)
		}
	}
}

func TestAScheduleNeedNotAnnounce(t *testing.T) {
	s := compile(t, `version: 1
jurisdictions:
  FR: {schedule: [{from: 2026-11-01T00:00:00Z, phase: open}, {from: 2026-11-20T00:00:00Z, phase: withdrawn}]}
`, moment)
	d := decide(t, s, "FR", "/")
	if utc(d.Announced) != "2026-11-20T00:00:00Z" || utc(d.Sunset) != "2026-11-20T00:00:00Z" {
		t.Errorf("announced %s, sunset %s", utc(d.Announced), utc(d.Sunset))
	}
}

func TestExplainSaysWhatMatchedAndWhy(t *testing.T) {
	for _, test := range []struct {
		name, document, place, request string
		want                           []string
	}{
		{"from the most specific on",
			"groups: {ours: [FR]}\njurisdictions: {FR-75C: open, FR-IDF: announced, FR: withdrawn, ours: withdrawn, EU: withdrawn}",
			"FR/FR-IDF/FR-75C", "/", []string{
				"FR-75C (Paris), second-level subdivision, open: wins, the most specific",
				"FR-IDF (Île-de-France), first-level subdivision, announced: FR-75C is more specific",
				"FR (France), country, withdrawn: FR-75C is more specific",
				"ours (ours), a member of the operator's group ours, withdrawn: FR-75C is more specific",
				"EU (European Union), a member of the built-in group EU, withdrawn: FR-75C is more specific",
			}},
		{"the winner first, of several groups",
			"jurisdictions: {EEA: announced, EU: withdrawn, NATO: withdrawn}",
			"DE", "/", []string{
				"EU (European Union), a member of the built-in group EU, withdrawn: wins, the most restrictive of the most specific",
				"EEA (European Economic Area), a member of the built-in group EEA, announced: EU is more restrictive",
				"NATO (North Atlantic Treaty Organization), a member of the built-in group NATO, withdrawn: EU restricts as much",
			}},
		{"a territory",
			"jurisdictions: {FR: {phase: withdrawn, territories: true}, EU: open}",
			"RE", "/", []string{
				"FR (France), RE is a territory of FR, withdrawn: wins, the most specific",
				"EU (European Union), a member of the built-in group EU, open: FR is more specific",
			}},
		{"anonymous wins",
			"jurisdictions: {DE: announced, anonymous: withdrawn}",
			"DE anonymous", "/", []string{
				"anonymous (anonymous), hides where it is, withdrawn: wins, applies besides, and is more restrictive",
				"DE (Germany), country, announced: anonymous is more restrictive",
			}},
		{"anonymous loses",
			"jurisdictions: {DE: withdrawn, anonymous: announced}",
			"DE anonymous", "/", []string{
				"DE (Germany), country, withdrawn: wins, the most specific",
				"anonymous (anonymous), hides where it is, announced: applies besides, but is not more restrictive",
			}},
		{"nowhere",
			"jurisdictions: {unlocated: withdrawn, EU: withdrawn}",
			"EU", "/", []string{
				"unlocated (unlocated), not in any country, withdrawn: wins, the most specific",
			}},
		{"a feature that isn't asked for",
			"routes: {news: [/news/]}\njurisdictions: {CA: {phase: withdrawn, routes: [news]}}",
			"CA", "/", []string{
				"CA (Canada), country, withdrawn of [news]: wins, the most specific; isn't about the class other",
			}},
		{"two subdivisions that are one",
			"jurisdictions: {US-MS: withdrawn}",
			"US/US-MS/US-MS", "/", []string{
				"US-MS (Mississippi), first-level subdivision, withdrawn: wins, the most specific",
			}},
		{"a subdivision of another country",
			"jurisdictions: {US-MS: withdrawn}",
			"CA/US-MS", "/", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := compile(t, "version: 1\n"+test.document+"\n", moment)
			var got []string
			for _, m := range s.Explain(from(test.place), "GET", "example.org", test.request).Matches {
				line := fmt.Sprintf("%s (%s), %s, %s", m.Entry, m.Name, m.How, m.Phase)
				if m.Routes != nil {
					line += fmt.Sprintf(" of %v", m.Routes)
				}
				if line += ": "; m.Wins {
					line += "wins, "
				}
				got = append(got, line+m.Why)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestExplainSaysWhenTheDecisionMayChange(t *testing.T) {
	const document = `version: 1
routes: {news: [/news/]}
jurisdictions:
  FR: {schedule: [{from: 2026-12-01T00:00:00Z, phase: withdrawn}]}
  EU: {schedule: [{from: 2026-11-30T00:00:00Z, phase: announced}, {from: 2026-12-24T00:00:00Z, phase: withdrawn}]}
  NATO: {schedule: [{from: 2026-11-29T00:00:00Z, phase: withdrawn}], routes: [news]}
  anonymous: {schedule: [{from: 2026-11-28T00:00:00Z, phase: withdrawn}]}
  JP: withdrawn
`
	s := compile(t, document, moment)
	for _, test := range []struct{ place, path, next string }{
		{"FR", "/", "2026-12-01T00:00:00Z"},
		{"DE", "/", "2026-11-30T00:00:00Z"},
		{"DE", "/news/", "2026-11-29T00:00:00Z"},
		{"DE anonymous", "/", "2026-11-28T00:00:00Z"},
		{"JP", "/", ""},
		{"BR", "/", ""},
	} {
		x := s.Explain(from(test.place), "GET", "example.org", test.path)
		if got := utc(x.Next); got != test.next {
			t.Errorf("%s%s: next %q, want %q", test.place, test.path, got, test.next)
		}
	}
}

func TestAnExplanationCanBeWrittenAsJSON(t *testing.T) {
	s := compile(t, schedule, moment)
	text, err := json.MarshalIndent(s.Explain(from("GP"), "GET", "example.org", "/a/../signup"), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "testdata/explanation.json", string(text)+"\n")
}

func TestDifferences(t *testing.T) {
	const news = "routes: {news: [/news/], blog: [/blog/]}\n"
	for _, test := range []struct {
		name, before, after string
		want                []policy.Difference
	}{
		{"nothing", "jurisdictions: {FR: withdrawn}", "jurisdictions: {FR: {phase: withdrawn}}", nil},
		{"a country", "", "jurisdictions: {FR: withdrawn}", []policy.Difference{{"FR", "open", "withdrawn"}}},
		{"back again", "jurisdictions: {FR: withdrawn}", "", []policy.Difference{{"FR", "withdrawn", "open"}}},
		{"a group, and not who is served in it", "jurisdictions: {EFTA: announced}", "jurisdictions: {EFTA: withdrawn, NO: announced}", []policy.Difference{
			{"CH", "announced", "withdrawn"}, {"IS", "announced", "withdrawn"}, {"LI", "announced", "withdrawn"},
		}},
		{"a group of subdivisions", "", "jurisdictions: {GB-nations: withdrawn}", []policy.Difference{
			{"GB-ENG", "open", "withdrawn"}, {"GB-NIR", "open", "withdrawn"}, {"GB-SCT", "open", "withdrawn"}, {"GB-WLS", "open", "withdrawn"},
		}},
		{"a subdivision that appears, and gets what its country got", "jurisdictions: {US: withdrawn}", "jurisdictions: {US: withdrawn, US-MS: withdrawn}", nil},
		{"a subdivision that appears", "jurisdictions: {US: withdrawn}", "jurisdictions: {US: withdrawn, US-MS: open}", []policy.Difference{{"US-MS", "withdrawn", "open"}}},
		{"a subdivision that vanishes", "jurisdictions: {US: announced, US-MS: withdrawn}", "jurisdictions: {US: announced}", []policy.Difference{{"US-MS", "withdrawn", "announced"}}},
		{"a second-level subdivision that appears in a first-level one", "jurisdictions: {FR-IDF: withdrawn}", "jurisdictions: {FR-IDF: withdrawn, FR-75C: withdrawn}", nil},
		{"a second-level subdivision that remains alone", "jurisdictions: {FR-IDF: withdrawn, FR-75C: withdrawn}", "jurisdictions: {FR-75C: withdrawn}", []policy.Difference{{"FR-IDF", "withdrawn", "open"}}},
		{"territories", "jurisdictions: {NZ: withdrawn}", "jurisdictions: {NZ: {phase: withdrawn, territories: true}}", []policy.Difference{{"TK", "open", "withdrawn"}}},
		{"unlocated, and nobody else", "jurisdictions: {anonymous: announced}", "jurisdictions: {anonymous: announced, unlocated: withdrawn}", []policy.Difference{{"unlocated", "open", "withdrawn"}}},
		{"unlocated, where nobody speaks of anonymous", "", "jurisdictions: {unlocated: withdrawn}", []policy.Difference{{"unlocated", "open", "withdrawn"}}},
		{"private", "", "jurisdictions: {private: withdrawn}", []policy.Difference{{"private", "open", "withdrawn"}}},
		{"anonymous that appears", "", "jurisdictions: {anonymous: withdrawn}", []policy.Difference{{"anonymous", "open", "withdrawn"}}},
		{"anonymous that vanishes", "jurisdictions: {anonymous: closed-to-new}", "", []policy.Difference{{"anonymous", "closed-to-new", "open"}}},
		{"features", news + "jurisdictions: {CA: {phase: withdrawn, routes: [news, blog]}}", news + "jurisdictions: {CA: withdrawn}", []policy.Difference{
			{"CA", "open (blog withdrawn, news withdrawn)", "withdrawn"},
		}},
		{"all but a feature", "", news + "jurisdictions: {CA: {phase: withdrawn, routes: [other, blog]}}", []policy.Difference{
			{"CA", "open", "withdrawn (sign-up open, export open, essential open, news open)"},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := compile(t, "version: 1\n"+test.before+"\n", moment)
			after := compile(t, "version: 1\n"+test.after+"\n", moment)
			if diff := cmp.Diff(test.want, policy.Differences(before, after)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("from nothing, as from a policy that serves everywhere", func(t *testing.T) {
		after := compile(t, schedule, moment)
		if diff := cmp.Diff(policy.Differences(policy.Compile(policy.OpenEverywhere(), nil, moment), after), policy.Differences(nil, after)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("as time passes", func(t *testing.T) {
		p := parse(t, "version: 1\njurisdictions:\n  NZ:\n    territories: true\n    schedule:\n    - {from: 2026-11-21T12:00:01Z, phase: withdrawn}\n")
		now := policy.Compile(p, nil, moment)
		want := []policy.Difference{{"NZ", "open", "withdrawn"}, {"TK", "open", "withdrawn"}}
		if diff := cmp.Diff(want, policy.Differences(now, policy.Compile(p, nil, now.Until()))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestNotice(t *testing.T) {
	s := compile(t, `version: 1
jurisdictions:
  FR: {phase: withdrawn, territories: true}
  EU: withdrawn
  US: withdrawn
  US-MS: withdrawn
  anonymous: withdrawn
notices:
  default: {status: 410, appeal: "https://example.org/appeal", texts: {en: {title: Default, body: Body}, de: {title: Vorgabe}}}
  EU: {blocked-by: "https://example.org/eu", texts: {en: {title: EU}}}
  FR: {status: 403, texts: {fr: {title: France}}}
  GP: {export: "https://example.org/gp", texts: {fr: {title: Guadeloupe}}}
  DE: {appeal: "https://example.org/de"}
  US: {status: 404}
  US-MS: {export: "https://example.org/ms"}
  anonymous: {blocked-by: "https://example.org/anonymous"}
`, moment)
	if got := s.Policy().Notices()["US"]; got.Status != 404 || got.Appeal != "" {
		t.Errorf("the notice of US alone: %+v", got)
	}
	english, german := policy.Text{Title: "Default", Body: "Body"}, policy.Text{Title: "Vorgabe"}
	const appeal = "https://example.org/appeal"
	for place, want := range map[string]policy.Notice{
		"IE": {Status: 410, BlockedBy: "https://example.org/eu", Appeal: appeal,
			Texts: map[string]policy.Text{"en": {Title: "EU"}, "de": german}},
		"DE": {Status: 410, BlockedBy: "https://example.org/eu", Appeal: "https://example.org/de",
			Texts: map[string]policy.Text{"en": {Title: "EU"}, "de": german}},
		"FR": {Status: 403, Appeal: appeal,
			Texts: map[string]policy.Text{"en": english, "de": german, "fr": {Title: "France"}}},
		"GP": {Status: 403, Appeal: appeal, Export: "https://example.org/gp",
			Texts: map[string]policy.Text{"en": english, "de": german, "fr": {Title: "Guadeloupe"}}},
		"US/US-MS": {Status: 404, Appeal: appeal, Export: "https://example.org/ms",
			Texts: map[string]policy.Text{"en": english, "de": german}},
		"JP anonymous": {Status: 410, BlockedBy: "https://example.org/anonymous", Appeal: appeal,
			Texts: map[string]policy.Text{"en": english, "de": german}},
	} {
		t.Run(place, func(t *testing.T) {
			got := s.Policy().Notice(*decide(t, s, place, "/"))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			got.Texts["en"] = policy.Text{} // the caller's to change
			if diff := cmp.Diff(want, s.Policy().Notice(*decide(t, s, place, "/"))); diff != "" {
				t.Errorf("changed by its caller (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheSameDecisionsAreMadeEachTime(t *testing.T) {
	source := policytest.WithRules(1_000)
	first, second := compile(t, source, moment), compile(t, source, moment)
	if diff := cmp.Diff(first.Decisions(), second.Decisions()); diff != "" {
		t.Error(diff)
	}
}

func TestAPlaceIsInItsMostSpecificJurisdiction(t *testing.T) {
	for place, want := range map[string]policy.Code{
		"FR/FR-IDF/FR-75C": "FR-75C",
		"US/US-MS":         "US-MS",
		"US":               "US",
		"unlocated":        policy.Unlocated,
		"private":          policy.Private,
		"US anonymous":     "US",
	} {
		if got := from(place).Jurisdiction(); got != want {
			t.Errorf("%s: %s, want %s", place, got, want)
		}
	}
}

func TestName(t *testing.T) {
	for code, want := range map[policy.Code]string{
		"FR": "France", "US-MS": "Mississippi", "EU": "European Union", "ours": "ours", policy.Unlocated: "unlocated", "": "",
	} {
		if got := policy.Name(code); got != want {
			t.Errorf("the name of %q is %q, want %q", code, got, want)
		}
	}
	for _, phase := range policy.Phases() {
		var read policy.Phase
		if err := read.UnmarshalText([]byte(phase.String())); err != nil || read != phase {
			t.Errorf("%s is read as %s: %v", phase, read, err)
		}
	}
	got := fmt.Sprint(policy.Phases(), policy.Phase(5), policy.WouldRefuse, policy.Action(3), policy.ByAnonymity, policy.Reason(8))
	if want := "[open announced closed-to-new wind-down withdrawn] Phase(5) would-refuse Action(3) anonymous Reason(8)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReaches(t *testing.T) {
	p := parse(t, "version: 1\ngroups: {ours: [FR, DE]}\njurisdictions: {ours: announced, NZ: {phase: announced, territories: true}, NO: announced}\n")
	for code, want := range map[policy.Code][]policy.Code{
		"ours": {"FR", "DE"}, "GB-nations": {"GB-ENG", "GB-NIR", "GB-SCT", "GB-WLS"}, "NZ": {"TK"}, "NO": nil, "JP": nil,
	} {
		got := p.Reaches(code)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", code, diff)
		}
		if len(got) > 0 {
			got[0] = "" // the caller's to change
			if again := p.Reaches(code); again[0] == "" {
				t.Errorf("%s: changed by its caller", code)
			}
		}
	}
}

func TestOpenEverywhere(t *testing.T) {
	s := policy.Compile(policy.OpenEverywhere(), nil, moment)
	for _, d := range s.Decisions() {
		if d.Action != policy.Forward || d.Phase != policy.Open || d.Reason != policy.ByDefault || d.Entry != policy.Default {
			t.Errorf("%+v", d)
		}
	}
	if !s.Until().IsZero() {
		t.Errorf("holds until %v, want for good", s.Until())
	}
}

// parse is Parse for documents that have to be good.
func parse(t testing.TB, source string) *policy.Policy {
	t.Helper()
	p, err := document.Parse("policy.yaml", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// moment is when the tests take place, unless they say otherwise.
var moment = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// C15: "no writes" can be said, and leaves what is always essential alone.
func TestAPatternOfAMethodForAWholeHostLeavesEssentialFiles(t *testing.T) {
	s := compile(t, `
version: 1
routes: {writing: [POST /, POST news.example.com/, "PUT /{any}/acme-challenge/{x...}", "DELETE /{x...}"]}
jurisdictions: {FR: {routes: [writing], phase: withdrawn}}
`, moment)
	for request, want := range map[string]string{
		"POST example.org/x":                              "writing",
		"POST news.example.com/":                          "writing",
		"GET news.example.com/":                           "other",
		"DELETE example.org/x":                            "writing",
		"PUT example.org/x/acme-challenge/y":              "writing",
		"POST example.org/robots.txt":                     "writing",
		"DELETE example.org/robots.txt":                   "writing",
		"POST news.example.com/.well-known/security.txt":  "writing",
		"POST news.example.com/.well-known/market-status": "essential",
		"PUT example.org/.well-known/acme-challenge/y":    "writing",
		"GET example.org/.well-known/acme-challenge/y":    "essential",
	} {
		if got := decide(t, s, "FR", request).Class; got != want {
			t.Errorf("%s is of the class %s, want %s", request, got, want)
		}
	}
}

// What is essential is never refused: if that is everything, a withdrawal is none.
func TestEverythingCantBeEssential(t *testing.T) {
	for pattern, allowed := range map[string]bool{
		"/": false, "/{all...}": false, "/{$}": true, "/{one}": true, "/legal/": true, "help.example.org/": true, "GET /": true,
	} {
		_, err := document.Parse("policy.yaml", []byte("version: 1\nroutes: {essential: [\"/terms\", \""+pattern+"\"]}\n"))
		if (err == nil) != allowed {
			t.Errorf("%s: %v", pattern, err)
		}
		if _, err := document.Read("policy.yaml", []byte("version: 1\nroutes: {essential: [\""+pattern+"\"]}\n")); err != nil {
			t.Errorf("a policy that stands, with %s: %v", pattern, err)
		}
	}
}
