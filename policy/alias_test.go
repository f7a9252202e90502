package policy_test

import (
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
		unkept         []policy.Code
	}{
		{"an entry", "jurisdictions: {US-PR: withdrawn, FR-974: withdrawn, RS-KM: withdrawn, NL-BQ1: withdrawn}", []policy.Code{"PR", "RE", "XK", "BQ-BO"}, nil},
		{"a group", "groups: {islands: [US-PR, FR-974]}\njurisdictions: {islands: withdrawn}", []policy.Code{"PR", "RE"}, nil},
		{"both codes: the stricter counts", "jurisdictions: {US-PR: withdrawn, PR: open, FR-974: open, RE: withdrawn}", []policy.Code{"PR", "RE"}, nil},
		{"it opens nothing", "jurisdictions: {US: {phase: withdrawn, territories: all}, US-PR: open, default: withdrawn, FR-974: open, XK: open, RS: open, BQ: open, FR: {phase: open, territories: none}}", []policy.Code{"US", "US-MS", "PR", "RE"}, nil},
		{"a demand that is kept", demand + "jurisdictions: {US-PR: {phase: withdrawn, unknown-part: serve}}", []policy.Code{"PR"}, nil},
		{"a demand that isn't, as the country's entry leaves its territories out", demand + "jurisdictions: {US: {phase: withdrawn, territories: none}}", []policy.Code{"US", "US-MS"}, []policy.Code{"US-PR"}},
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
		if got := p.Unkept(locates); !slices.Equal(got, test.unkept) {
			t.Errorf("%s: not kept in %v, want %v", test.name, got, test.unkept)
		}
		if got := s.Unenforced(locates); len(got) > 0 && test.unkept == nil {
			t.Errorf("%s: not enforced in %v", test.name, got)
		}
	}
}
