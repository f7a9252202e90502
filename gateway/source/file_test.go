package source

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/document"
)

func fileOptions(t *testing.T, content string) (FileOptions, *engine) {
	name, e := filepath.Join(t.TempDir(), "policy.yaml"), new(engine)
	testkit.WriteFile(t, name, content)
	return FileOptions{
		Name: name, Dir: statedir.Dir(t.TempDir()), Engine: e,
		InUse: func() *policy.Policy {
			p, err := document.Parse(name, []byte(withdrawn))
			if err != nil {
				t.Fatal(err)
			}
			return p
		},
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return moment },
	}, e
}

func TestAWrongFileAtTheStartLeavesTheLastGoodPolicy(t *testing.T) {
	o, e := fileOptions(t, "version: 1\nnonsense: 1\n")
	if _, err := OpenFile(o); err == nil || e.Decides() {
		t.Errorf("without one it applies %q, %v", e.policies(), err)
	}
	if err := o.Dir.WriteLastGood([]byte(withdrawn)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(o); err != nil || len(e.failures) != 2 {
		t.Errorf("%v, failures are %v", err, e.failures)
	}
	if got := e.policies(); len(got) != 1 || got[0] != withdrawn {
		t.Errorf("it applies %q", got)
	}
}

func TestAFileIsReadOnlyAndHasNoRecords(t *testing.T) {
	o, _ := fileOptions(t, withdrawn)
	f, err := OpenFile(o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(t.Context(), propose(open))
	expectCode(t, err, changes.ReadOnly)
	_, err = f.Record(t.Context(), 1)
	expectCode(t, err, changes.NotFound)
	_, err = f.Records(t.Context(), 0, func(Record) bool { return true })
	expectCode(t, err, changes.NotFound)
	_, err = f.Verify(t.Context())
	expectCode(t, err, changes.NotFound)
	if f.State().Revision().Number != 0 || f.Connection() != nil {
		t.Errorf("it has the state %+v and the connection %+v", f.State(), f.Connection())
	}
	planned, err := f.PlanState()
	if err != nil || string(planned.Source()) != withdrawn {
		t.Errorf("it is planned against %q, %v", planned.Source(), err)
	}
}

// Issue 10, A4: a policy file counts as proposed whenever it has changed. What was
// kept is read on as it stands.
func TestAFileThatHasChangedGoesByTheRulesForNewPolicies(t *testing.T) {
	unsaid := "version: 1\ndemands: {law: {jurisdiction: FR, stage: in-force, requires: {a: 1}}}\n"
	o, e := fileOptions(t, unsaid)
	if _, err := OpenFile(o); err == nil {
		t.Errorf("a new one is applied: %q", e.policies())
	}
	if err := o.Dir.WriteLastGood([]byte(unsaid)); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFile(o)
	if err != nil || len(e.policies()) != 1 {
		t.Fatalf("what was kept: %v, applied %q", err, e.policies())
	}
	testkit.WriteFile(t, o.Name, unsaid+"# changed\n")
	if err := f.reload(); err == nil {
		t.Errorf("a changed one is applied: %q", e.policies())
	}
	testkit.WriteFile(t, o.Name, unsaid)
	if err := f.reload(); err != nil {
		t.Error(err)
	}
}
