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
		{"it was rejected", "stage: rejected, in-force: 2027-01-01T00:00:00Z, requires: {e2ee: false}", "{}", "over, 61 days"},
		{"it binds, and the market is withdrawn", "stage: in-force, requires: {e2ee: false}", "{FR: withdrawn}", "kept, binds"},
		{"it will bind, and the market is withdrawn by then", "stage: adopted, in-force: 2026-12-01T12:00:00Z, requires: {e2ee: false}", "{FR: {schedule: [{from: 2026-12-01T00:00:00Z, phase: withdrawn}]}}", "kept, binds, 30 days"},
		{"it was adopted without a date", "stage: adopted, requires: {e2ee: false}", "{}", "unmet [FR]: FR would have to be withdrawn; FR is open then"},
		{"it was proposed with a date, and the exit is late", "stage: proposed, in-force: 2026-12-01T00:00:00Z, requires: {e2ee: false}", "{FR: {schedule: [{from: 2026-12-03T00:00:00Z, phase: withdrawn}]}}",
			"unmet, 30 days [FR]: FR would have to be withdrawn; FR is served until 2026-12-03T00:00:00Z, 2 days longer"},
		{"it was proposed, and the exit is planned", "stage: proposed, in-force: 2026-12-01T00:00:00Z, requires: {e2ee: false}", "{FR: {schedule: [{from: 2026-12-01T00:00:00Z, phase: withdrawn}]}}", "prepared, 30 days"},
		{"it is suspended after it was in force", "stage: suspended, in-force: 2026-01-01T00:00:00Z, requires: {e2ee: false}", "{FR: wind-down}", "unmet [FR]: FR would have to be withdrawn; FR is wind-down then"},
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
