package policy_test

import (
	"fmt"
	"strings"
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
    stages: [{stage: adopted, in-force: 2026-12-01T00:00:00Z}, {stage: suspended, date: 2026-11-20, until: 2027-02-01T00:00:00Z}]
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

// Issue 11: what is said of a law after a stay is what its own date makes of it. The end of
// the stay is when it came into force only if it was stayed before it was in force.
func TestWhatALawIsAfterItWasSuspended(t *testing.T) {
	day := func(month time.Month, day int) time.Time { return time.Date(2026, month, day, 0, 0, 0, 0, time.UTC) }
	at := day(11, 27)
	unknown, next := time.Time{}, time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)
	const inForce, adopted = policy.InForce, policy.Adopted
	const ahead = "in-force: 2027-02-01T00:00:00Z"
	for _, test := range []struct {
		name, stages, requires string
		stage                  policy.Stage
		date                   time.Time // that the public is given
		begins                 time.Time
	}{
		{"its date is ahead", "{stage: adopted, " + ahead + "}, {stage: suspended, date: 2026-06-01, until: 2026-11-15T00:00:00Z}", "", adopted, next, next},
		{"its date is ahead, and the stay was undated", "{stage: adopted, " + ahead + "}, {stage: suspended, until: 2026-11-15T00:00:00Z}", "", adopted, next, next},
		{"its date was before the stay", "{stage: adopted, in-force: 2026-01-01T00:00:00Z}, {stage: suspended, date: 2026-05-01, until: 2026-11-01T00:00:00Z}", "", inForce, day(1, 1), day(1, 1)},
		{"it was in force before the stay", "{stage: in-force, in-force: 2026-01-01T00:00:00Z}, {stage: suspended, until: 2026-11-01T00:00:00Z}", "", inForce, day(1, 1), day(1, 1)},
		{"it was in force since ever before the stay", "{stage: in-force}, {stage: suspended, until: 2026-11-01T00:00:00Z}", "", inForce, unknown, unknown},
		{"its date was within the stay", "{stage: adopted, in-force: 2026-06-01T00:00:00Z}, {stage: suspended, date: 2026-05-01, until: 2026-11-01T00:00:00Z}", "", inForce, day(11, 1), day(11, 1)},
		{"it had no date before the stay", "{stage: adopted}, {stage: suspended, date: 2026-05-01, until: 2026-11-01T00:00:00Z}", "", inForce, day(11, 1), day(11, 1)},
		{"it isn't known when the stay began", "{stage: adopted, in-force: 2026-06-01T00:00:00Z}, {stage: suspended, until: 2026-11-01T00:00:00Z}", "", inForce, unknown, unknown},
		{"it came into force on a day on which the stay may have begun", "{stage: adopted, in-force: 2026-04-30T22:00:00Z}, {stage: suspended, date: 2026-04-30, until: 2026-11-01T00:00:00Z}", "", inForce, unknown, unknown},
		{"the stay was prolonged", "{stage: adopted, in-force: 2026-06-01T00:00:00Z}, {stage: suspended, date: 2026-05-01, until: 2026-08-01T00:00:00Z}, {stage: appealed}, {stage: suspended, date: 2026-07-01, until: 2026-11-01T00:00:00Z}", "", inForce, day(11, 1), day(11, 1)},
		{"the stay had no end at first", "{stage: adopted, in-force: 2026-06-01T00:00:00Z}, {stage: suspended, date: 2026-05-01}, {stage: suspended, date: 2026-07-01, until: 2026-11-01T00:00:00Z}", "", inForce, day(11, 1), day(11, 1)},
		{"the stay was shortened", "{stage: adopted, in-force: 2026-06-01T00:00:00Z}, {stage: suspended, date: 2026-05-01, until: 2026-11-01T00:00:00Z}, {stage: suspended, date: 2026-07-01, until: 2026-08-01T00:00:00Z}", "", inForce, day(8, 1), day(8, 1)},
		{"there were two stays", "{stage: adopted, in-force: 2026-03-01T00:00:00Z}, {stage: suspended, date: 2026-02-01, until: 2026-04-01T00:00:00Z}, {stage: suspended, date: 2026-07-01, until: 2026-11-01T00:00:00Z}", "", inForce, day(4, 1), day(4, 1)},
		{"all of its dates are ahead", "{stage: adopted}, {stage: suspended, date: 2026-05-01, until: 2026-11-01T00:00:00Z}", "[{from: 2027-02-01T00:00:00Z, flags: {e2ee: false}}, {from: 2027-03-01T00:00:00Z, flags: {e2ee: false}}]", adopted, unknown, next},
		{"one of its dates was before the stay", "{stage: adopted}, {stage: suspended, date: 2026-05-01, until: 2026-11-01T00:00:00Z}", "[{from: 2026-01-01T00:00:00Z, flags: {e2ee: false}}, {from: 2027-02-01T00:00:00Z, flags: {e2ee: false}}]", inForce, day(1, 1), day(1, 1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			requires := "{e2ee: false}"
			if test.requires != "" {
				requires = test.requires
			}
			p, err := document.Read("policy.yaml", []byte("version: 1\nguarantees: {e2ee: {require: true}}\ndemands: {law: {jurisdiction: PT, title: A law, requires: "+requires+", stages: ["+test.stages+"]}}\njurisdictions: {PT: {phase: withdrawn, because: [law]}}\n"))
			if err != nil {
				t.Fatal(err)
			}
			s := policy.Compile(p, nil, at)
			public := s.Public(nil)[0].Because[0]
			if public.Stage != test.stage || !public.InForce.Equal(test.date) {
				t.Errorf("the public reads %s, %s", public.Stage, public.InForce)
			}
			status := p.DemandStatuses(at, nil)[0]
			if status.Stage != test.stage || !status.InForce.Equal(test.date) || !status.Begins.Equal(test.begins) {
				t.Errorf("the status says %s, %s, begins %s", status.Stage, status.InForce, status.Begins)
			}
			if test.stage != adopted {
				return
			}
			s = policy.Compile(p, nil, s.Until())
			if public := s.Public(nil)[0].Because[0]; !s.At().Equal(next) || public.Stage != inForce || !public.InForce.Equal(next) {
				t.Errorf("next is %s: the public reads %s, %s", s.At(), public.Stage, public.InForce)
			}
		})
	}
}

// Issue 11, 3: the days that are left are those until the date that is said last.
func TestDemandStatus_Dates(t *testing.T) {
	const several = "requires: [{flags: {e2ee: false}}, {from: 2027-06-01T00:00:00Z, flags: {e2ee: false}}], "
	const one = "requires: {e2ee: false}, "
	for _, test := range []struct{ name, demand, want string }{
		{"it has none", one + "stage: adopted", ""},
		{"it is ahead", one + "stage: adopted, in-force: 2026-12-01T00:00:00Z", "from 2026-12-01, 4 days"},
		{"it is over", one + "stage: repealed, in-force: 2026-12-01T00:00:00Z", ""},
		{"it has passed", one + "stage: in-force, in-force: 2026-01-01T00:00:00Z", "from 2026-01-01"},
		{"it is stayed for good", one + "stage: suspended, in-force: 2027-01-01T00:00:00Z", ""},
		{"the stay ends before the law's own date", one + "stages: [{stage: adopted, in-force: 2027-02-01T00:00:00Z}, {stage: suspended, until: 2026-12-15T00:00:00Z}]", "until 2026-12-15, binds from 2027-02-01, 66 days"},
		{"the stay ends after it", one + "stages: [{stage: adopted, in-force: 2026-02-01T00:00:00Z}, {stage: suspended, until: 2026-12-15T00:00:00Z}]", "until 2026-12-15, 18 days"},
		{"the stay has ended, and the law's own date is ahead", one + "stages: [{stage: adopted, in-force: 2027-02-01T00:00:00Z}, {stage: suspended, until: 2026-11-15T00:00:00Z}]", "from 2027-02-01, 66 days"},
		{"the second of several is ahead", several + "stage: in-force, in-force: 2026-11-01T00:00:00Z", "from 2026-11-01, more from 2027-06-01, 186 days"},
		{"the second of several is ahead, and the first is since ever", several + "stage: in-force", "more from 2027-06-01, 186 days"},
		{"both of several are ahead", several + "stage: adopted, in-force: 2026-12-01T00:00:00Z", "from 2026-12-01, 4 days"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := document.Read("policy.yaml", []byte("version: 1\nguarantees: {e2ee: {require: true}}\ndemands: {law: {jurisdiction: PT, "+test.demand+"}}\njurisdictions: {PT: withdrawn}\n"))
			if err != nil {
				t.Fatal(err)
			}
			s := p.DemandStatuses(time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC), nil)[0]
			var got []string
			for _, said := range s.Dates() {
				got = append(got, said.What+" "+said.Date.Format(time.DateOnly))
			}
			if s.DaysLeft != nil {
				got = append(got, fmt.Sprintf("%d days", *s.DaysLeft))
			}
			if got := strings.Join(got, ", "); got != test.want {
				t.Errorf("it is said %q, want %q", got, test.want)
			}
		})
	}
}

// Issue 11, 8: the date that is spoken of isn't behind those by which it binds.
func TestADemandBindsNotBeforeItComesIntoForce(t *testing.T) {
	for name, test := range map[string]struct {
		demand  string
		allowed bool
	}{
		"one date":                         {"stage: adopted, in-force: 2027-03-01T00:00:00Z, requires: {e2ee: false}", true},
		"its parts begin later":            {"stage: adopted, in-force: 2027-01-01T00:00:00Z, requires: [{flags: {e2ee: false}, from: 2027-02-01T00:00:00Z}]", true},
		"the first begins with it":         {"stage: adopted, in-force: 2027-02-01T00:00:00Z, requires: [{flags: {e2ee: false}, from: 2027-02-01T00:00:00Z}]", true},
		"all begin earlier":                {"stage: adopted, in-force: 2027-03-01T00:00:00Z, requires: [{flags: {e2ee: false}, from: 2027-02-01T00:00:00Z}]", false},
		"one of several begins earlier":    {"stages: [{stage: adopted, in-force: 2027-03-01T00:00:00Z}], requires: [{flags: {e2ee: false}, from: 2027-04-01T00:00:00Z}, {flags: {e2ee: false}, from: 2027-02-01T00:00:00Z}]", false},
		"it is over":                       {"stage: rejected, in-force: 2027-03-01T00:00:00Z, requires: [{flags: {e2ee: false}, from: 2027-02-01T00:00:00Z}]", true},
		"a part begins when the rest does": {"stage: adopted, in-force: 2027-03-01T00:00:00Z, requires: [{flags: {e2ee: false}, from: 2027-02-01T00:00:00Z}, {flags: {e2ee: false}}]", true},
	} {
		text := "version: 1\nflags: {e2ee: true}\ndemands: {law: {jurisdiction: FR, territories: none, title: A law, " + test.demand + "}}\n"
		if _, err := document.Parse("policy.yaml", []byte(text)); (err == nil) != test.allowed {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := document.Read("policy.yaml", []byte(text)); err != nil {
			t.Errorf("a policy that stands, where %s: %v", name, err)
		}
	}
}
