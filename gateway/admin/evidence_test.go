package admin_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/evidence"
	"github.com/exitgate/exitgate/policy/changes"
)

// Issue 11, number 9.
func TestEvidence(t *testing.T) {
	g := newFixture(t)
	g.tick(time.Hour)
	change := g.pending(t, zoe, "BY-MI")
	got := ask(t, g, viewer, "GET", "/v1/evidence/BY", nil)
	f, err := evidence.Read([]byte(got.body))
	if err != nil || got.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v\n%s", err, got.body)
	}
	state, now := g.known()
	if f.Made.Counts == nil {
		t.Error("of the last day there are no counts")
	}
	if report := f.Verify(f.Made.At); !report.OK() || f.Head.Number != state.Last() || !f.To.Equal(now) || f.Records[0].Number != 1 {
		t.Errorf("it isn't valid: %+v, of %+v", report, f.Header)
	}

	// Before the change was proposed.
	got = ask(t, g, viewer, "GET", "/v1/evidence/BY?to="+change.Time.Add(-time.Second).Format(time.RFC3339), nil)
	f, err = evidence.Read([]byte(got.body))
	if err != nil || !f.Verify(f.Made.At).OK() || f.Head.Number != change.Number-1 || f.Made.Counts != nil {
		t.Errorf("%v, of %+v\n%s", err, f.Header, got.body)
	}

	// Since it was proposed, and before it was approved: who has approved with what, and what
	// was proposed, is in it.
	change = g.pending(t, zoe, "RU")
	g.tick(time.Hour)
	_, between := g.known()
	g.tick(time.Hour)
	state, now = g.known()
	draft, err := state.Approve(counsel, change.Number, change.Plan, "Read.", changes.Request{}, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	g.append(t, draft)
	got = ask(t, g, viewer, "GET", "/v1/evidence/RU?from="+between.Format(time.RFC3339), nil)
	f, err = evidence.Read([]byte(got.body))
	if err != nil || !f.Verify(f.Made.At).OK() || f.Records[0].Number > change.Number || !slices.ContainsFunc(f.Says.Revisions, func(r evidence.Revision) bool { return len(r.Approvals) > 0 }) {
		t.Errorf("%v, of %+v\n%s", err, f.Header, got.body)
	}

	for target, want := range map[string]string{
		"BY?from=yesterday":            `"from is not a time with a zone"`,
		"BY?from=2027-01-01T00:00:00Z": `"from is not before to"`,
		"BY?to=2027-01-01T00:00:00Z":   `"to is in the future`,
		"BY?to=2020-01-01T00:00:00Z":   `"not-found"`,
		"EU":                           `"not-found"`,
		"unlocated":                    `"not-found"`,
		"BY?limit=3":                   `"the parameter limit is unknown"`,
	} {
		if got := ask(t, g, viewer, "GET", "/v1/evidence/"+target, nil); got.status == http.StatusOK || !strings.Contains(got.body, want) {
			t.Errorf("%s: got %d\n%s", target, got.status, got.body)
		}
	}
}
