package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/internal/policytest"
)

// Issue 11, 1: while a market is open, nothing of its future is public.
func TestPublicMarkets(t *testing.T) {
	const past, march, april = "{from: 2026-01-01T00:00:00Z, phase: announced}", "{from: 2026-03-01T00:00:00Z, phase: announced}", "{from: 2026-04-01T00:00:00Z, phase: withdrawn}"
	at := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct{ name, jurisdictions, want string }{
		{"nothing is named", "{}", ""},
		{"open, to be announced", "{FR: {schedule: [" + march + ", " + april + "]}}", ""},
		{"open, to be withdrawn", "{FR: {schedule: [" + april + "]}}", ""},
		{"open, because of a demand", "{FR: {because: [law], schedule: [" + april + "]}}", ""},
		{"announced", "{FR: {because: [law], schedule: [" + past + ", " + april + "]}}", "FR announced until 2026-04-01, 1 next, because of Law"},
		{"open, beside what is withdrawn", "{FR: {schedule: [" + april + "]}, CA: withdrawn}", "CA withdrawn"},
		{"open, within what is withdrawn", "{FR: {because: [law], schedule: [" + april + "]}, EU: withdrawn}", "EU withdrawn; FR open"},
		{"open, where the rest is withdrawn", "{DE: open, default: withdrawn}", "DE open; default withdrawn"},
		{"open by default", "{default: {schedule: [" + april + "]}}", ""},
		{"a group that is open, of whose members one is withdrawn", "{EU: {schedule: [" + april + "]}, FR: withdrawn}", "FR withdrawn"},
		{"a feature is withdrawn, and the whole will be", "{FR: {schedule: [" + april + "], features: {news: withdrawn}}}", "FR open; FR news withdrawn"},
		{"announced, and a feature will be withdrawn", "{FR: {phase: announced, features: {news: {schedule: [" + april + "]}}}}", "FR announced"},
		{"a feature alone that will be withdrawn", "{FR: {features: {news: {schedule: [" + april + "]}}}}", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := document.Read("policy.yaml", []byte("version: 1\nroutes: {news: [/news/]}\ndemands: {law: {jurisdiction: FR, title: Law, stage: proposed, requires: {a: true}}}\njurisdictions: "+test.jurisdictions))
			if err != nil {
				t.Fatal(err)
			}
			var rows []string
			for _, m := range policy.Compile(p, nil, at).PublicMarkets() {
				row := fmt.Sprint(m.Jurisdiction, " ", strings.Join(append(m.Routes, m.Phase.String()), " "))
				if !m.Sunset.IsZero() {
					row += " until " + m.Sunset.Format(time.DateOnly)
				}
				if len(m.Next) > 0 {
					row += fmt.Sprintf(", %d next", len(m.Next))
				}
				for _, demand := range m.Because {
					row += ", because of " + demand.Title
				}
				rows = append(rows, row)
				for _, f := range m.Features {
					rows = append(rows, fmt.Sprint(m.Jurisdiction, " ", strings.Join(f.Routes, " "), " ", f.Phase))
				}
			}
			if got := strings.Join(rows, "; "); got != test.want {
				t.Errorf("it is public that %q, want %q", got, test.want)
			}
		})
	}
}

// A flag that restricts a market says nothing of what its entry has planned.
func TestPublicMarketsByFlags(t *testing.T) {
	p, err := document.Read("policy.yaml", []byte(`version: 1
demands: {law: {jurisdiction: FR, title: Law, stage: proposed, requires: {a: true}}}
jurisdictions: {FR: {because: [law], schedule: [{from: 2026-04-01T00:00:00Z, phase: withdrawn}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	s := policy.Compile(p, policy.Flags{"FR": {Phase: policy.ClosedToNew}}, time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC))
	public := s.PublicMarkets()
	if len(public) != 1 || public[0].Phase != policy.ClosedToNew || public[0].Next != nil || public[0].Because != nil || !public[0].Sunset.IsZero() {
		t.Errorf("it is public that %+v", public)
	}
}

func TestPublicMarketsHaveNoSecrets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := policytest.Specs.Draw(t, "spec")
		at := policytest.Moments.Draw(t, "at")
		public := func(spec policytest.Spec) string {
			text, err := json.Marshal(compileSpec(t, spec, at).PublicMarkets())
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		if is, want := public(spec), public(spec.WithoutSecrets(at)); is != want {
			t.Fatalf("at %v it is public that %s, without the secrets %s\n%s", at, is, want, spec.Document())
		}
	})
}
