package flags_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/policy"
)

// TestAnsweredIsForGood once every guaranteed flag has been answered for
// everywhere.
func TestAnsweredIsForGood(t *testing.T) {
	r := rigged(t, guaranteed)
	r.source.says("tier", "FR", down)
	if r.table.Status().Answered {
		t.Error("it is answered before the first round")
	}
	r.round()
	if r.table.Status().Answered || r.kept != nil {
		t.Error("one jurisdiction is missing, and it passes for answered")
	}
	r.source.says("tier", "FR", value("gold"))
	r.round()
	if !r.table.Status().Answered || r.kept == nil {
		t.Error("it isn't answered")
	}
	for _, flag := range []string{e2ee, "retention-days", "sampling", "tier", "theme"} {
		r.source.says(flag, "", down)
	}
	r.round()
	if !r.table.Status().Answered {
		t.Error("it is answered no more")
	}
}

func TestWhatCountsAsAnswered(t *testing.T) {
	for _, test := range []struct {
		name, flag string
		answer     said
		want       bool
	}{
		{"a good value", e2ee, value(true), true},
		{"a breach: the jurisdiction is withheld", e2ee, value(false), true},
		{"that there is no such flag", e2ee, absent, false},
		{"a fault", e2ee, down, false},
		{"a default", e2ee, echo(openfeature.DefaultReason), false},
		{"another type", e2ee, value("yes"), false},
		{"a value that can't be told", "retention-days", value(int64(-1e15)), false},
		{"a fault of a flag that nothing is guaranteed of", "theme", down, true},
		{"a fault of the phase", policy.PhaseFlag, down, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rigged(t, guaranteed)
			r.source.says(test.flag, "FR", test.answer)
			r.round()
			if got := r.table.Status().Answered; got != test.want {
				t.Errorf("answered: %t", got)
			}
		})
	}
}

func TestTheStatusSaysSinceWhen(t *testing.T) {
	r := rigged(t, guaranteed)
	var never time.Time
	for _, step := range []struct {
		at             string
		answer         said
		success, since time.Time
	}{
		{"12:01", value("gold"), moment("2026-11-22T12:01:00Z"), never},
		{"12:02", down, moment("2026-11-22T12:01:00Z"), moment("2026-11-22T12:02:00Z")},
		{"12:03", value(true), moment("2026-11-22T12:01:00Z"), moment("2026-11-22T12:02:00Z")},
		{"12:04", value("silver"), moment("2026-11-22T12:04:00Z"), never},
		{"12:05", value("bronze"), moment("2026-11-22T12:05:00Z"), never},
		{"12:06", echo(""), moment("2026-11-22T12:05:00Z"), moment("2026-11-22T12:06:00Z")},
	} {
		r.source.says("tier", "", step.answer)
		r.round()
		status := r.table.Status()
		r.want(step.at+", the last success", status.LastSuccess, step.success)
		r.want(step.at+", failing since", status.Since, step.since)
	}
}

// TestTheStatusNamesWhatIsRefusedTogether as a source that is down is down for
// all jurisdictions, and for all flags.
func TestTheStatusNamesWhatIsRefusedTogether(t *testing.T) {
	r := rigged(t, guaranteed)
	r.round()
	for _, flag := range []string{e2ee, "retention-days", "sampling", "tier", "theme"} {
		r.source.says(flag, "", down)
	}
	r.source.says("tier", "FR", value(true))
	r.source.says("sampling", "DE", value("half"))
	r.round()
	places := len(r.policy.Places())
	r.want("refused", r.refused(), []string{
		"tier in FR: it is a bool",
		"sampling in DE: it is a string",
		fmt.Sprintf("end-to-end-encryption, retention-days, sampling, theme, tier in unlocated, private, AD, AE, AF and %d more: the flag server is down", places-5),
	})
	status := r.table.Status()
	r.want("answers", []int{status.Rejected[0].Answers, status.Rejected[1].Answers, status.Rejected[2].Answers}, []int{1, 1, 5*places - 2})
}

func TestTheStatusListsBreachesInOrder(t *testing.T) {
	r := rigged(t, guaranteed)
	for _, code := range []string{"US", "FR", "unlocated", "private", "DE"} {
		r.source.says("tier", code, value("bronze"))
	}
	r.source.says(e2ee, "FR", value(false))
	r.round()
	at := moment("2026-11-22T12:01:00Z")
	r.want("breaches", r.table.Status().Breaches, []flags.Unacknowledged{
		{Jurisdiction: "DE", Flag: "tier", Since: at},
		{Jurisdiction: "FR", Flag: e2ee, Since: at},
		{Jurisdiction: "FR", Flag: "tier", Since: at},
		{Jurisdiction: "US", Flag: "tier", Since: at},
		{Jurisdiction: "private", Flag: "tier", Since: at},
		{Jurisdiction: "unlocated", Flag: "tier", Since: at},
	})
}

func TestTheLogSaysOnceThatAFlagIsNotAnsweredAndOnceThatItIsAgain(t *testing.T) {
	r := rigged(t, guaranteed)
	r.round()
	r.source.says("tier", "FR", down)
	for range 3 {
		r.round()
	}
	r.source.forgets("tier", "FR")
	for range 3 {
		r.round()
	}
	r.want("logged", r.logged(), `level=WARN msg="answers for flags are not accepted; what was known of them stays" flags=tier jurisdictions=FR error="the flag server is down"
level=INFO msg="all flags are answered again"
`)
}

// TestASourceThatTalksTooMuchIsCutShort as what it says gets into the log and
// into /readyz, and stays in memory.
func TestASourceThatTalksTooMuchIsCutShort(t *testing.T) {
	r := rigged(t, guaranteed)
	r.round()
	r.source.says("tier", "FR", failure(openfeature.NewGeneralResolutionError(strings.Repeat("é", 1<<20))))
	r.round()
	if log := r.logged(); len(log) > 1000 {
		t.Errorf("%d bytes are logged", len(log))
	}
	if said := r.refused(); len(said) != 1 || len(said[0]) > 500 || !strings.HasSuffix(said[0], "é…") {
		t.Errorf("refused: %.100q", said)
	}
}
