package policy_test

import (
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

func TestDrain(t *testing.T) {
	const text = "version: 1\n" + law + `withdrawal: {drain: 30s}
demands:
  bill: {jurisdiction: PL, stage: adopted, in-force: 2027-01-01T00:00:00Z, requires: {e2ee: false}}
  law: {jurisdiction: NL, territories: none, stage: in-force, requires: {e2ee: false}}
  ours: {jurisdiction: US-MS, stage: in-force, requires: {e2ee: false}}
jurisdictions:
  DE: withdrawn
  FR: {phase: withdrawn, drain: 10m}
  IT: {phase: withdrawn, drain: 0s}
  NL: {phase: withdrawn, drain: 10m, territories: none}
  PL: {drain: 1m, schedule: [{from: 2026-11-01T00:00:00Z, phase: withdrawn}]}
  US-MS: {phase: withdrawn, unknown-part: withhold, drain: 1m}
`
	p, err := document.Parse("policy.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if most := p.MostDrain(); most != 10*time.Minute {
		t.Errorf("the longest is %s", most)
	}
	breach := policy.Flags{"FR": {Breached: map[string]time.Time{"e2ee": {}}}}
	november, january := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		place policy.Code
		flags policy.Flags
		at    time.Time
		drain time.Duration
		step  time.Time
	}{
		"as the policy has it":             {"DE", nil, november, 30 * time.Second, time.Time{}},
		"as the entry has it":              {"FR", nil, november, 10 * time.Minute, time.Time{}},
		"of an entry that has none":        {"IT", nil, november, 0, time.Time{}},
		"of a breach":                      {"FR", breach, november, 0, time.Time{}},
		"under a demand in force":          {"NL", nil, november, 0, time.Time{}},
		"before a demand comes into force": {"PL", nil, november, time.Minute, november},
		"since one has":                    {"PL", nil, january, 0, november},
		"of those who may be where a demand binds, and may not be": {"US", nil, november, 0, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			s, place := policy.Compile(p, test.flags, test.at), policy.PlaceOf(test.place)
			d := s.Decide(place, 0)
			if drain, step := s.Drain(place, d), s.StepOf(place, d); d.Action != policy.Refuse || drain != test.drain || !step.Equal(test.step) {
				t.Errorf("%s is by %s: %s, step of %s", d.Action, d.Entry, drain, step)
			}
		})
	}
}
