package policy_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

// Issue 10, A1: what ISO 3166 has two codes for is one place, whichever a policy writes;
// clients are located by one of them.
func TestPlacesWithTwoCodes(t *testing.T) {
	at := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	locates := &policy.Capability{Places: map[policy.Code]policy.Coverage{"US": {}, "US-MS": {}, "PR": {}, "RE": {}, "FR": {}, "XK": {}, "RS": {}, "BQ": {}, "BQ-BO": {}}}
	const demand = "guarantees: {e2ee: {require: true}}\ndemands: {law: {jurisdiction: US-PR, stage: in-force, requires: {e2ee: false}}}\n"
	for _, test := range []struct {
		name, document string
		refused        []policy.Code // of the places that clients are located to
	}{
		{"an entry", "jurisdictions: {US-PR: withdrawn, FR-974: withdrawn, RS-KM: withdrawn, NL-BQ1: withdrawn}", []policy.Code{"PR", "RE", "XK", "BQ-BO"}},
		{"a group", "groups: {islands: [US-PR, FR-974]}\njurisdictions: {islands: withdrawn}", []policy.Code{"PR", "RE"}},
		{"both codes: the stricter counts", "jurisdictions: {US-PR: withdrawn, PR: open, FR-974: open, RE: withdrawn}", []policy.Code{"PR", "RE"}},
		{"it opens nothing", "jurisdictions: {US: {phase: withdrawn, territories: all}, US-PR: open, default: withdrawn, FR-974: open, XK: open, RS: open, BQ: open, FR: {phase: open, territories: none}}", []policy.Code{"US", "US-MS", "PR", "RE"}},
		{"a demand that is kept", demand + "jurisdictions: {US-PR: {phase: withdrawn, unknown-part: serve}}", []policy.Code{"PR"}},
		{"a country without its territories", "jurisdictions: {US: {phase: withdrawn, territories: none}}", []policy.Code{"US", "US-MS"}},
	} {
		p, err := document.Read("policy.yaml", []byte("version: 1\n"+test.document+"\n"))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		s := policy.Compile(p, nil, at)
		for code := range locates.Places {
			if got, want := s.Decide(policy.PlaceOf(code), 0).Action == policy.Refuse, slices.Contains(test.refused, code); got != want {
				t.Errorf("%s: %s is refused: %v, want %v", test.name, code, got, want)
			}
		}
		if got := append(p.Unkept(locates), s.Unenforced(locates)...); len(got) > 0 {
			t.Errorf("%s: not kept or not enforced in %v", test.name, got)
		}
		// Who asks by the other code is told what clients get.
		for code, other := range map[policy.Code]policy.Code{"US-PR": "PR", "FR-974": "RE", "FR-RE": "RE", "RS-KM": "XK", "NL-BQ1": "BQ-BO"} {
			if got, want := s.Decide(policy.PlaceOf(code), 0), s.Decide(policy.PlaceOf(other), 0); *got != *want {
				t.Errorf("%s: %s gets %v, and %s %v", test.name, code, got, other, want)
			}
		}
		for _, market := range s.Public(locates) {
			if slices.ContainsFunc(market.Places, func(code policy.Code) bool { return policy.PlaceOf(code).Jurisdiction() != code }) {
				t.Errorf("%s: the public page lists %v", test.name, market.Places)
			}
		}
	}
	if _, err := document.Read("policy.yaml", []byte("version: 1\n"+demand+"jurisdictions: {US: {phase: withdrawn, territories: none}}\n")); err == nil {
		t.Error("a demand on US-PR is accepted, which an entry of US without its territories doesn't keep")
	}
}

// What a policy says of a place it says by either code: its flags, its notice, what is
// acknowledged.
func TestWhatIsSaidByTheOtherCode(t *testing.T) {
	for _, code := range []policy.Code{"PR", "US-PR"} {
		p, err := document.Read("policy.yaml", fmt.Appendf(nil, `version: 1
flags: {stickers: {value: true, in: {%[1]s: false}}}
guarantees: {e2ee: {require: true}}
notices: {%[1]s: {blocked-by: https://example.org/pr}}
acknowledge: [{flag: e2ee, jurisdiction: %[1]s, at: 2027-01-01T00:00:00Z, by: ada, because: seen}]
jurisdictions: {PR: withdrawn}
`, code))
		if err != nil {
			t.Fatal(err)
		}
		pr := policy.PlaceOf("PR")
		if v, _ := p.Value("stickers", pr); v != valueOf(false) {
			t.Errorf("%s: the flag is %v", code, v)
		}
		if got := p.Notice(*policy.Compile(p, nil, time.Time{}).Decide(pr, 0)).BlockedBy; got == "" {
			t.Errorf("%s: the notice is the default's", code)
		}
		if p.AcknowledgedUntil("e2ee", "PR").IsZero() || p.AcknowledgedUntil("e2ee", "US-PR").IsZero() {
			t.Errorf("%s: what is acknowledged isn't", code)
		}
	}
}
