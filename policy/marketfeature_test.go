package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/policy"
)

// What a feature gets is shown where that is more than what the whole service gets: the
// stricter counts.
func TestMarketFeatures(t *testing.T) {
	const april = "2127-04-01T00:00:00Z"
	at := time.Date(2127, 4, 1, 0, 0, 0, 0, time.UTC)
	step := []policy.Step{{From: at, Phase: policy.Withdrawn}}
	for entry, want := range map[string][]policy.MarketFeature{
		"{phase: withdrawn, features: {news: {schedule: [{from: " + april + ", phase: withdrawn}]}}}":                                                 nil,
		"{phase: withdrawn, features: {news: withdrawn}}":                                                                                             nil,
		"{phase: announced, features: {news: withdrawn}}":                                                                                             {{Routes: []string{"news"}, Phase: policy.Withdrawn}},
		"{phase: announced, features: {news: {schedule: [{from: 2127-03-01T00:00:00Z, phase: announced}, {from: " + april + ", phase: withdrawn}]}}}": {{Routes: []string{"news"}, Phase: policy.Announced, Sunset: at, Next: step}},
	} {
		p := parse(t, "version: 1\nroutes: {news: [/news/]}\njurisdictions: {IT: "+entry+"}\n")
		for range 2 { // nothing of the policy changes by it
			got := policy.Compile(p, nil, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)).Markets()[0].Features
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s:\n%s", entry, diff)
			}
		}
	}
}
