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
		Name: name, Dir: statedir.Dir(t.TempDir()), Engine: e, Parse: document.Parse, Read: document.Read,
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
