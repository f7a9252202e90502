package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

// Issue 11, 3: of each law it is known what it takes, and what is missing.
func TestDemandStatuses(t *testing.T) {
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct{ name, demand, jurisdictions, want string }{
		{"it breaks nothing", "stage: in-force, requires: {e2ee: true}", "{}", "harmless"},
		{"it was repealed", "stage: repealed, requires: {e2ee: false}", "{}", "over"},
		{"it was rejected", "stage: rejected, in-force: 2027-01-01T00:00:00Z, requires: {e2ee: false}", "{}", "over"},
		{"it binds, and the market is withdrawn", "stage: in-force, requires: {e2ee: false}", "{FR: withdrawn}", "kept, binds"},
		{"it will bind, and the market is withdrawn by then", "stage: adopted, in-force: 2026-12-01T12:00:00Z, requires: {e2ee: false}", "{FR: {schedule: [{from: 2026-12-01T00:00:00Z, phase: withdrawn}]}}", "kept, binds, 30 days"},
		{"it was adopted without a date", "stage: adopted, requires: {e2ee: false}", "{}", "unmet [FR]: FR would have to be withdrawn; FR is open then"},
		{"it was proposed with a date, and the exit is late", "stage: proposed, in-force: 2026-12-01T00:00:00Z, requires: {e2ee: false}", "{FR: {schedule: [{from: 2026-12-03T00:00:00Z, phase: withdrawn}]}}",
			"unmet, 30 days [FR]: FR would have to be withdrawn; FR is served until 2026-12-03T00:00:00Z, 2 days longer"},
		{"it was proposed, and the exit is planned", "stage: proposed, in-force: 2026-12-01T00:00:00Z, requires: {e2ee: false}", "{FR: {schedule: [{from: 2026-12-01T00:00:00Z, phase: withdrawn}]}}", "prepared, 30 days"},
		{"it is suspended after it was in force", "stage: suspended, in-force: 2026-01-01T00:00:00Z, requires: {e2ee: false}", "{FR: wind-down}", "unmet [FR]: FR would have to be withdrawn; FR is wind-down then"},
		{"it is informal", "kind: informal, stage: in-force, in-force: 2026-01-01T00:00:00Z, requires: {e2ee: false}", "{}", "prepared"},
		{"it is about one feature, which is withdrawn", "stage: proposed, routes: [news], requires: {e2ee: false}", "{FR: {features: {news: withdrawn}}}", "prepared"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := document.Read("policy.yaml", []byte("version: 1\nroutes: {news: [/news/]}\nguarantees: {e2ee: {require: true}}\ndemands: {law: {jurisdiction: FR, territories: none, "+test.demand+"}}\njurisdictions: "+test.jurisdictions))
			if err != nil {
				t.Fatal(err)
			}
			s := p.DemandStatuses(at, nil)[0]
			got := string(s.Outcome)
			if s.Binds && s.Outcome == policy.DemandKept {
				got += ", binds"
			}
			if s.DaysLeft != nil {
				got += fmt.Sprintf(", %d days", *s.DaysLeft)
			}
			if s.Served != nil {
				got += fmt.Sprintf(" %v: %s", s.Served, s.Missing)
			}
			if got != test.want {
				t.Errorf("it is %s, want %s", got, test.want)
			}
		})
	}
}

// Issue 11, 3 and 8: a law with several dates is kept, or not, on each of them.
func TestDemandStatuses_ofSeveralDates(t *testing.T) {
	at := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	march := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name, demand, summary string
		days                  int
		begins                time.Time
	}{
		{"the second breaks a guarantee", "requires: [{from: 2026-12-01T00:00:00Z, flags: {retention: 7}}, {from: 2027-03-01T00:00:00Z, flags: {retention: 90}}]",
			"from 2026-12-01T00:00:00Z breaks no guarantee; from 2027-03-01T00:00:00Z breaks retention; kept: ES is withdrawn by then", 3, march},
		{"with a date of the whole", "in-force: 2026-12-01T00:00:00Z, requires: [{flags: {retention: 7}}, {from: 2027-03-01T00:00:00Z, flags: {retention: 90}}]",
			"from 2026-12-01T00:00:00Z breaks no guarantee; from 2027-03-01T00:00:00Z breaks retention; kept: ES is withdrawn by then", 3, march},
		{"one alone", "requires: [{from: 2027-03-01T00:00:00Z, flags: {retention: 90}}]",
			"breaks retention; kept: ES is withdrawn by then", 93, march},
	} {
		p, err := document.Read("policy.yaml", []byte("version: 1\nguarantees: {retention: {at-most: 7}}\ndemands: {act: {jurisdiction: ES, stage: adopted, "+test.demand+"}}\njurisdictions: {ES: {schedule: [{from: 2027-03-01T00:00:00Z, phase: withdrawn}]}}\n"))
		if err != nil {
			t.Fatal(err)
		}
		s := p.DemandStatuses(at, nil)[0]
		if s.Summary != test.summary || s.DaysLeft == nil || *s.DaysLeft != test.days || !s.Begins.Equal(test.begins) {
			t.Errorf("%s: %s, in %v days, begins %s", test.name, s.Summary, s.DaysLeft, s.Begins)
		}
	}
}

// Issue 11, 8: while a law is suspended it has no date, and from the end of that on it is
// in force, in all that is said of it, also where it breaks no guarantee.
func TestASuspensionEnds(t *testing.T) {
	until := time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)
	for _, requires := range []string{"{e2ee: false}", "{e2ee: true}"} {
		p, err := document.Read("policy.yaml", []byte(`version: 1
guarantees: {e2ee: {require: true}}
demands:
  law:
    jurisdiction: DE
    title: A law
    requires: `+requires+`
    stages: [{stage: adopted, in-force: 2026-12-01T00:00:00Z}, {stage: suspended, until: 2027-02-01T00:00:00Z}]
jurisdictions: {DE: {phase: withdrawn, because: [law]}}
`))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			at    time.Time
			stage policy.Stage
			date  time.Time // that the public is given
			days  *int
		}{
			{time.Date(2027, 1, 22, 0, 0, 0, 0, time.UTC), policy.Suspended, time.Time{}, new(10)},
			{until, policy.InForce, until, nil},
		} {
			s := policy.Compile(p, nil, c.at)
			public := s.Public(nil)[0].Because[0]
			cause := s.Cause(*s.Decide(policy.PlaceOf("DE"), 0)).Demands[0]
			if public.Stage != c.stage || !public.InForce.Equal(c.date) || cause.Stage != c.stage || !cause.InForce.Equal(c.date) {
				t.Errorf("%s, %s: the page says %s %s, the notice %s %s", requires, c.at, public.Stage, public.InForce, cause.Stage, cause.InForce)
			}
			status := p.DemandStatuses(c.at, nil)[0]
			if status.Stage != c.stage || !status.Begins.Equal(until) || status.SuspendedUntil.IsZero() != (c.days == nil) || (status.DaysLeft == nil) != (c.days == nil) || c.days != nil && *status.DaysLeft != *c.days {
				t.Errorf("%s, %s: the status says %s, begins %s, until %s, %v days", requires, c.at, status.Stage, status.Begins, status.SuspendedUntil, status.DaysLeft)
			}
			if next := s.Until(); next.Equal(until) != c.at.Before(until) {
				t.Errorf("%s, %s: it holds until %s", requires, c.at, next)
			}
		}
	}
}
