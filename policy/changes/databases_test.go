package changes_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/policy/changes"
)

// hollow is a geo database that is held.
var hollow = changes.Database{
	SHA256: strings.Repeat("ab", 32), Path: "/var/lib/GeoIP/GeoLite2-City.mmdb", Build: begin, Against: "embedded",
	Losses: []changes.Loss{{Jurisdiction: "FR", Family: "ipv4", Before: 80_000_000, After: 12}},
}

func (w *world) decides(by changes.Actor, accept bool) error {
	w.t.Helper()
	return w.write(w.s.DecideDatabase(by, hollow, accept, "The law there.", changes.Request{}))
}

// Issue 10, A3: what is decided on a database that is held is a record, and to accept
// one takes what to open a market takes.
func TestDecideDatabase(t *testing.T) {
	const ok = ""
	type step struct {
		by     changes.Actor
		accept bool
		want   changes.ErrorCode
		status changes.Status
	}
	one, alone := "version: 1\napprovals: {open: 1}\n", "version: 1\n"
	for _, test := range []struct {
		name   string
		policy string
		steps  []step
	}{
		{"an operator, where markets are opened without approval", alone, []step{{ada, true, ok, changes.Accepted}}},
		{"an approver opens nothing alone", alone, []step{{bob, true, changes.Forbidden, ""}, {both, true, ok, changes.Accepted}}},
		{"a viewer decides nothing", alone, []step{{vic, true, changes.Forbidden, ""}, {vic, false, changes.Forbidden, ""}, {none, false, changes.Forbidden, ""}}},
		{"an operator, then an approver", one, []step{{ada, true, ok, changes.Pending}, {bob, true, ok, changes.Accepted}}},
		{"one person doesn't do", one, []step{{both, true, ok, changes.Pending}, {both, true, changes.FourEyes, changes.Pending}, {eve, true, ok, changes.Accepted}}},
		{"another operator doesn't do", one, []step{{ada, true, ok, changes.Pending}, {oleg, true, changes.Forbidden, changes.Pending}}},
		{"two approvers, each once", "version: 1\napprovals: {open: 2}\n", []step{
			{ada, true, ok, changes.Pending}, {bob, true, ok, changes.Pending}, {bob, true, changes.NoChange, changes.Pending}, {eve, true, ok, changes.Accepted}}},
		{"a rejection needs nobody else", one, []step{{bob, false, ok, changes.Rejected}, {ada, false, changes.NoChange, changes.Rejected}}},
		{"a rejection makes acceptances void", one, []step{{ada, true, ok, changes.Pending}, {eve, false, ok, changes.Rejected},
			{bob, true, changes.Forbidden, changes.Rejected}, {ada, true, ok, changes.Pending}, {bob, true, ok, changes.Accepted}}},
		{"what is accepted is in use", alone, []step{{ada, true, ok, changes.Accepted}, {ada, true, changes.NoChange, changes.Accepted}, {ada, false, changes.Ended, changes.Accepted}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := begun(t, test.policy)
			for i, step := range test.steps {
				var refused *changes.Error
				err := w.decides(step.by, step.accept)
				if errors.As(err, &refused) != (step.want != ok) || refused != nil && refused.Code != step.want {
					t.Fatalf("step %d: %v, want %q", i, err, step.want)
				}
				if d, _ := w.s.Database(hollow.SHA256); d.Status != step.status {
					t.Errorf("step %d: it is %q, want %q", i, d.Status, step.status)
				}
			}
			restored, err := changes.Restore([]byte(kept(t, w.s)), changes.Supplement{}, parsers)
			if err != nil || !cmp.Equal(restored.Databases(), w.s.Databases()) {
				t.Errorf("kept and restored: %v %v", restored.Databases(), err)
			}
		})
	}
}

func TestADecisionOnADatabaseSaysWhatWasCompared(t *testing.T) {
	w := begun(t, "version: 1\napprovals: {open: 1}\n")
	w.must(w.decides(ada, true))
	d, err := changes.Describe(w.last())
	if err != nil || !cmp.Equal(*d.Database, hollow) || d.Summary != "accepts the database sha256:abababababab, /var/lib/GeoIP/GeoLite2-City.mmdb, built 2026-11-22 (1 of 2)" {
		t.Errorf("%q %v %v", d.Summary, d.Database, err)
	}
	// A gateway that doesn't know the kind would not do what it says.
	if w.last().Format() != 2 || changes.CheckFormat(w.last().Draft, []int{2, 1}) == nil || changes.CheckFormat(w.last().Draft, []int{2}) != nil {
		t.Errorf("it is of format %d", w.last().Format())
	}
	for name, refused := range map[string]error{
		"no reason":  second(w.s.DecideDatabase(ada, hollow, false, " ", changes.Request{})),
		"no SHA-256": second(w.s.DecideDatabase(ada, changes.Database{Path: hollow.Path}, false, "why", changes.Request{})),
	} {
		if e := (*changes.Error)(nil); !errors.As(refused, &e) || e.Code != changes.Invalid {
			t.Errorf("%s: %v", name, refused)
		}
	}
	key := changes.Request{Key: "k", Fingerprint: "f"}
	w.must(w.write(w.s.DecideDatabase(bob, hollow, true, "why", key)))
	if again := (*changes.RepeatedError)(nil); !errors.As(second(w.s.DecideDatabase(bob, hollow, true, "why", key)), &again) || again.Number != w.last().Number {
		t.Error("it isn't known that it was done")
	}
}

func second(_ changes.Draft, err error) error { return err }

func TestTheOldestDecisionsOnDatabasesAreForgotten(t *testing.T) {
	w := begun(t, "version: 1\n")
	for i := range changes.MaxDatabases + 2 {
		d := changes.Database{SHA256: fmt.Sprintf("%064x", i), Path: "x"}
		w.must(w.write(w.s.DecideDatabase(ada, d, true, "why", changes.Request{})))
	}
	all := w.s.Databases()
	if len(all) != changes.MaxDatabases || all[0].SHA256 != fmt.Sprintf("%064x", 2) {
		t.Errorf("%d, the first %s", len(all), all[0].SHA256)
	}
}
