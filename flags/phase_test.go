package flags_test

import (
	"math"
	"strings"
	"testing"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/policy"
)

// TestThePhaseFlagRestrictsAndNeverOpens has a policy that closes France to new
// users, and withdraws Italy.
func TestThePhaseFlagRestrictsAndNeverOpens(t *testing.T) {
	const document = "jurisdictions: {FR: closed-to-new, IT: withdrawn}\n"
	for _, test := range []struct{ phase, de, fr, it string }{
		{"open", "forward, open by default:", "forward, closed-to-new by entry:", "refuse, withdrawn by entry:"},
		{"announced", "forward, announced by flag:", "forward, closed-to-new by entry:", "refuse, withdrawn by entry:"},
		{"closed-to-new", "forward, closed-to-new by flag:", "forward, closed-to-new by entry:", "refuse, withdrawn by entry:"},
		{"wind-down", "refuse, wind-down by flag:", "refuse, wind-down by flag:", "refuse, withdrawn by entry:"},
		{"withdrawn", "refuse, withdrawn by flag:", "refuse, withdrawn by flag:", "refuse, withdrawn by entry:"},
	} {
		t.Run(test.phase, func(t *testing.T) {
			r := rigged(t, document)
			r.source.says(policy.PhaseFlag, "", value(test.phase))
			r.round()
			r.want("Germany", r.gets("DE"), test.de)
			r.want("France", r.gets("FR"), test.fr)
			r.want("Italy", r.gets("IT"), test.it)
			r.want("refused", r.refused(), []string(nil))
		})
	}
}

func TestThePhaseFlagIsOfOneJurisdiction(t *testing.T) {
	r := rigged(t, guaranteed)
	r.source.says(policy.PhaseFlag, "FR", value("withdrawn"))
	r.source.says(policy.PhaseFlag, "FR/1", value("open")) // a percentage: that of the country counts
	r.round()
	r.want("in France", r.gets("FR"), strings.Replace(allIsWell, "forward, open by default", "refuse, withdrawn by flag", 1))
	r.want("elsewhere", r.gets("DE"), allIsWell)
	r.want("breaches", r.breaches, []string(nil))
}

// TestOnlyAGoodAnswerChangesThePhase has France closed to new users by flag.
func TestOnlyAGoodAnswerChangesThePhase(t *testing.T) {
	const before = "forward, closed-to-new by flag:"
	for _, test := range []struct {
		name    string
		answer  said
		want    string
		refused string
	}{
		{"more", value("withdrawn"), "refuse, withdrawn by flag:", ""},
		{"less", value("announced"), "forward, announced by flag:", ""},
		{"open again", value("open"), "forward, open by default:", ""},
		{"no answer", absent, before, ""},
		{"a fault", down, before, "exitgate.phase in FR: the flag server is down"},
		{"left to a default", echo(openfeature.DefaultReason), before, "exitgate.phase in FR: the source left the value to a default: is the flag disabled there?"},
		{"disabled", echo(openfeature.DisabledReason), before, "exitgate.phase in FR: the source left the value to a default: is the flag disabled there?"},
		{"no phase", value("shut"), before, `exitgate.phase in FR: "shut" is not a phase`},
		{"another case", value("Withdrawn"), before, `exitgate.phase in FR: "Withdrawn" is not a phase`},
		{"nothing", value(""), before, `exitgate.phase in FR: "" is not a phase`},
		{"a number", value(int64(4)), before, "exitgate.phase in FR: it is a int64"},
		{"not a number", value(math.NaN()), before, "exitgate.phase in FR: it is a float64"},
		{"a megabyte", value(strings.Repeat("x", 1<<20)), before, "exitgate.phase in FR: flags are sent to apps in a structured field (RFC 9651), and it has more than 256 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rigged(t, "")
			r.source.says(policy.PhaseFlag, "FR", value("closed-to-new"))
			r.round()
			r.want("before", r.gets("FR"), before)
			r.source.says(policy.PhaseFlag, "FR", test.answer)
			r.round()
			r.want("after", r.gets("FR"), test.want)
			var refused []string
			if test.refused != "" {
				refused = []string{test.refused}
			}
			r.want("refused", r.refused(), refused)
			r.restart()
			r.source.says(policy.PhaseFlag, "FR", absent)
			r.round()
			r.want("after a restart", r.gets("FR"), test.want)
		})
	}
}

func TestAWithdrawalByFlagIsNoneForTheEssentialPages(t *testing.T) {
	r := rigged(t, "routes: {export: [/account/export], essential: [/imprint]}\n")
	r.source.says(policy.PhaseFlag, "FR", value("wind-down"))
	r.source.says(policy.PhaseFlag, "IT", value("withdrawn"))
	r.round()
	s := policy.Compile(r.policy, r.table.Known(), r.now)
	for _, test := range []struct {
		jurisdiction policy.Code
		path         string
		want         policy.Action
	}{
		{"FR", "/", policy.Refuse}, {"FR", "/account/export", policy.Forward}, {"FR", "/imprint", policy.Forward},
		{"IT", "/", policy.Refuse}, {"IT", "/account/export", policy.Refuse}, {"IT", "/imprint", policy.Forward},
	} {
		class := s.Classify("GET", "example.org", test.path).Class
		if got := s.Decide(policy.PlaceOf(test.jurisdiction), class).Action; got != test.want {
			t.Errorf("%s in %s: %s, want %s", test.path, test.jurisdiction, got, test.want)
		}
	}
}

func TestWithoutAFlagSourceThereIsNoPhaseFlag(t *testing.T) {
	p := parse(t, "flags: {theme: light}\n")
	table := open(t, flags.Options{})
	if phase := table.Evaluate(t.Context(), always(p))["FR"].Phase; phase != policy.Open {
		t.Errorf("France is %s", phase)
	}
	if refused := table.Status().Rejected; refused != nil {
		t.Errorf("refused: %v", refused)
	}
}
