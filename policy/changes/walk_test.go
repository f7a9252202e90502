package changes_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/plan"
)

// documents are policies that differ in everything that asks for approvals.
var documents = rapid.Custom(func(t *rapid.T) string {
	var b strings.Builder
	b.WriteString("version: 1\n")
	fmt.Fprintf(&b, "approvals: {open: %d, withdraw: %d, weaken-guarantee: %d, other: %d, expire: %dh}\n",
		rapid.IntRange(0, 3).Draw(t, "open"), rapid.IntRange(0, 2).Draw(t, "withdraw"), rapid.IntRange(0, 2).Draw(t, "weaken"),
		rapid.IntRange(0, 1).Draw(t, "other"), rapid.IntRange(1, 200).Draw(t, "expire"))
	if rapid.Bool().Draw(t, "guarantee") {
		b.WriteString("guarantees: {e2ee: {require: true}}\n")
	}
	if rapid.IntRange(0, 9).Draw(t, "observe") == 0 {
		b.WriteString("mode: observe\n")
	}
	var entries strings.Builder
	if rapid.Bool().Draw(t, "EU") {
		entries.WriteString("  EU: announced\n")
	}
	for _, code := range []string{"FR", "DE", "US"} {
		switch rapid.IntRange(0, 3).Draw(t, code) {
		case 0:
			fmt.Fprintf(&entries, "  %s: %s\n", code, rapid.SampledFrom(policy.Phases()).Draw(t, "phase"))
		case 1:
			fmt.Fprintf(&entries, "  %s: {schedule: [{from: %s, phase: withdrawn}]}\n", code, begin.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "from"))*time.Hour).Format(time.RFC3339))
		}
	}
	if entries.Len() > 0 { // else it names no market, as the first policy does
		b.WriteString("jurisdictions:\n" + entries.String())
	}
	if rapid.IntRange(0, 3).Draw(t, "notices") == 0 {
		b.WriteString("notices: {FR: {status: 403}}\n")
	}
	return b.String()
})

var (
	carl   = changes.Actor{Name: "carl", Roles: []changes.Role{changes.Approver}}
	dora   = changes.Actor{Name: "dora", Roles: []changes.Role{changes.Operator, changes.Approver}}
	people = []changes.Actor{ada, oleg, bob, eve, both, vic, carl, dora}
)

// A walk is a world in which anybody tries anything.
type walk struct {
	*world
	rt      *rapid.T
	written map[string]int // by what
}

func (w *walk) who() changes.Actor {
	if rapid.IntRange(0, 9).Draw(w.rt, "local") == 0 {
		return w.s.ByUser(rapid.SampledFrom([]string{"root", "alice"}).Draw(w.rt, "user"))
	}
	return rapid.SampledFrom(people).Draw(w.rt, "who")
}

// which is the number of something that is known, mostly.
func (w *walk) which() uint64 {
	numbers := []uint64{w.s.Last(), 999}
	for _, c := range w.s.Changes(w.flags, w.now) {
		numbers = append(numbers, c.Number)
		if c.Status == changes.Pending {
			numbers = append(numbers, c.Number, c.Number, c.Number)
		}
	}
	for _, u := range w.s.Unsigned() {
		numbers = append(numbers, u.Number)
	}
	return rapid.SampledFrom(numbers).Draw(w.rt, "number")
}

func (w *walk) proposal() (p changes.Proposal, ok bool) {
	base := w.policyOf(w.s.Revision().Base)
	if base != nil && rapid.IntRange(0, 4).Draw(w.rt, "back") == 0 {
		p = changes.Proposal{Policy: base, Rollback: w.s.Revision().Base}
	} else if rapid.Bool().Draw(w.rt, "set") {
		p = set(rapid.SampledFrom([]policy.Code{"FR", "DE", "US", "US-MS"}).Draw(w.rt, "code"), rapid.SampledFrom(policy.Phases()).Draw(w.rt, "phase"))
	} else {
		p = proposing(documents.Draw(w.rt, "document"))
	}
	planned, err := w.s.Plan(p, w.flags, w.now)
	if err != nil {
		return p, false
	}
	p.Expected, p.Plan, p.Because = w.s.Revision().Number, planned.Plan.Hash, "so"
	p.Emergency = rapid.IntRange(0, 3).Draw(w.rt, "emergency") == 0
	p.Request = w.request()
	return p, true
}

func (w *walk) request() changes.Request {
	return changes.Request{
		Key:         rapid.SampledFrom([]string{"", "", "", "a", "b", "c", "d"}).Draw(w.rt, "key"),
		Fingerprint: rapid.SampledFrom([]string{"1", "2"}).Draw(w.rt, "fingerprint"),
	}
}

// try takes one step.
func (w *walk) try() {
	before := w.s
	w.passes(time.Duration(rapid.IntRange(0, 30).Draw(w.rt, "hours")) * time.Hour)
	var err error
	var name string
	by, number := w.who(), w.which()
	atHome := func() changes.Actor {
		if rapid.Bool().Draw(w.rt, "at home") {
			return w.root()
		}
		return by
	}
	switch name = rapid.SampledFrom([]string{"propose", "propose", "edit", "approve", "approve", "approve", "approve", "reject", "principal", "remove", "garbage", "wait"}).Draw(w.rt, "what"); name {
	case "propose":
		if p, ok := w.proposal(); ok {
			err = w.propose(by, p)
		}
	case "edit":
		if p, ok := w.proposal(); ok {
			err = w.write(w.s.Edit(by, number, p, w.flags, w.now))
		}
	case "approve":
		if rapid.Bool().Draw(w.rt, "approver") {
			by = rapid.SampledFrom([]changes.Actor{bob, eve, both, carl, dora}).Draw(w.rt, "by")
		}
		c, _, _ := w.s.Change(number, w.flags, w.now)
		plan := c.Plan
		for _, u := range w.s.Unsigned() {
			if u.Number == number {
				plan = u.SHA256
			}
		}
		err = w.write(w.s.Approve(by, number, plan, "", w.request(), w.flags, w.now))
		if refused, ok := errors.AsType[*changes.Error](err); ok && c.Status == changes.Pending && (refused.Code == changes.PlanChanged || refused.Code == changes.Ended) {
			w.rt.Fatalf("change %d is shown as one that waits, but %v", number, err)
		}
	case "reject":
		err = w.write(w.s.Reject(by, number, "no", w.request(), w.now))
	case "principal":
		by = atHome()
		err = w.write(w.s.SetPrincipal(by, changes.Principal{
			Name: rapid.SampledFrom([]string{"ada", "both", "dora"}).Draw(w.rt, "name"), Roles: []changes.Role{changes.Viewer},
			User: rapid.SampledFrom([]string{"", "root", "alice"}).Draw(w.rt, "user"),
		}, "so", w.request(), w.now))
	case "remove":
		by = atHome()
		err = w.write(w.s.RemovePrincipal(by, rapid.SampledFrom([]string{"ada", "both", "dora"}).Draw(w.rt, "name"), "so", w.request(), w.now))
	case "garbage":
		r := changes.Record{Number: w.s.Last() + 1, Time: w.now, Draft: rapid.SampledFrom(w.records).Draw(w.rt, "again").Draft}
		if rapid.Bool().Draw(w.rt, "cut") {
			r.Body = r.Body[:rapid.IntRange(0, len(r.Body)).Draw(w.rt, "at")]
		}
		if next, err := w.s.With(r); err != nil { // else it is as good as new
			w.s, w.records = next, append(w.records, r)
		}
		return
	case "wait":
		w.passes(time.Duration(rapid.IntRange(0, 40).Draw(w.rt, "days")) * 24 * time.Hour)
		w.flags = rapid.SampledFrom([]policy.Flags{nil, {"DE": {Phase: policy.ClosedToNew}}}).Draw(w.rt, "flags")
		return
	}
	if err != nil {
		if refusal := (*changes.Error)(nil); !errors.As(err, &refusal) && !errors.As(err, new(*changes.RepeatedError)) {
			w.rt.Fatalf("%s: %v", name, err)
		}
		return
	}
	if w.s.Last() > before.Last() {
		w.holds(before, by)
	}
}

// holds checks what must be so after a record that was written, by somebody.
func (w *walk) holds(before changes.State, by changes.Actor) {
	r := w.last()
	w.written[string(r.Kind)]++
	if r.Author != by.Name {
		w.rt.Fatalf("%s writes as %s", by.Name, r.Author)
	}
	if d, err := changes.Describe(r); err != nil || d.Summary == "" {
		w.rt.Fatalf("%+v: %v", d, err)
	}
	if (r.Kind == changes.PrincipalSet || r.Kind == changes.PrincipalRemoved) && !by.Local {
		w.rt.Fatalf("%+v has changed a principal", by)
	}
	for _, c := range w.s.Changes(w.flags, w.now) {
		names := approversOf(c.Approvals)
		if intersect(names, c.Authors) || repeats(names) || c.Needs < 1 && c.Status != changes.Applied || len(names) >= c.Needs && c.Status == changes.Pending {
			w.rt.Fatalf("%+v", c)
		}
		if on := max(c.Base, c.Rebased); on != w.s.Revision().Number && c.Status == changes.Pending {
			w.rt.Fatalf("%+v isn't stale on revision %d", c, w.s.Revision().Number)
		}
	}
	if r.Kind != changes.RevisionMade {
		if w.s.Policy() != before.Policy() {
			w.rt.Fatalf("a record of kind %s has brought a policy into force", r.Kind)
		}
		return
	}
	is := w.s.Revision()
	change := plan.New(before.Policy(), w.s.Policy(), w.flags, w.now)
	names := approversOf(is.Approvals)
	switch needs := plan.NeededApprovals(before.Policy().Approvals(), change.Effects); {
	case is.Number != r.Number, is.Base != before.Revision().Number, is.Needs != needs, is.Plan != change.Hash, !slices.Equal(is.Effects, change.Effects),
		is.SHA256 != policy.Digest(w.s.Source()):
		w.rt.Fatalf("%+v\n%+v", is, change)
	case intersect(names, is.Authors), repeats(names):
		w.rt.Fatalf("approved by %v, authors are %v", names, is.Authors)
	case is.Emergency && (!change.OnlyRestricts() && !w.takesBack(before, r, is) || needs == 0 || len(names) > 0 || !is.SignBy.Equal(w.now.Add(24*time.Hour))):
		w.rt.Fatalf("this is no emergency: %+v\n%+v", is, change)
	case !is.Emergency && len(names) != needs:
		w.rt.Fatalf("%d approvals where %d are needed: %+v", len(names), needs, is)
	}
	what := fmt.Sprintf("revision with %d approvals", len(names))
	if is.Emergency && !change.OnlyRestricts() {
		what = "taken back"
	} else if is.Emergency {
		what = "emergency"
	}
	w.written[what]++
}

// takesBack reports whether a revision is one that its author takes an emergency back by.
func (w *walk) takesBack(before changes.State, r changes.Record, is changes.Revision) bool {
	was := before.Revision()
	if !was.Emergency || was.Base == 0 || !slices.Equal(was.Authors, []string{r.Author}) || r.Time.Sub(was.Time) > 10*time.Minute {
		return false
	}
	return policy.Digest(w.policyOf(was.Base)) == is.SHA256
}

// policyOf returns the policy of a revision, nil if there is none.
func (w *walk) policyOf(number uint64) []byte {
	for _, made := range w.records {
		if d, err := changes.Describe(made); err == nil && made.Number == number && d.Revision != nil {
			return d.Policy
		}
	}
	return nil
}

func approversOf(approvals []changes.Approval) (names []string) {
	for _, a := range approvals {
		names = append(names, a.By)
	}
	return names
}

func intersect(a, b []string) bool {
	return slices.ContainsFunc(a, func(name string) bool { return slices.Contains(b, name) })
}

func repeats(names []string) bool {
	names = slices.Sorted(slices.Values(names))
	return len(slices.Compact(slices.Clone(names))) != len(names)
}

func TestWhateverAnybodyTries(t *testing.T) {
	written := make(map[string]int)
	rapid.Check(t, func(rt *rapid.T) {
		w := &walk{world: &world{t: t, s: changes.New(parsers), now: begin}, rt: rt, written: written}
		w.must(w.write(changes.FirstRevision([]byte(documents.Draw(rt, "first"))), nil))
		for range rapid.IntRange(1, 50).Draw(rt, "steps") {
			w.try()
			if rapid.Bool().Draw(rt, "goes on") {
				continue
			}
			text := kept(t, w.s)
			restored, err := changes.Restore([]byte(text), w.s.Supplement(), parsers)
			if err != nil || kept(t, restored) != text {
				rt.Fatalf("%v\n%s\n%s", err, text, kept(t, restored))
			}
			w.s = restored
		}
		again := changes.New(parsers)
		for _, r := range w.records {
			again, _ = again.With(r)
		}
		if kept(t, again) != kept(t, w.s) {
			rt.Fatalf("%s\n%s", kept(t, again), kept(t, w.s))
		}
	})
	t.Log(written)
	if testing.Short() {
		return
	}
	for _, what := range []string{"change", "edit", "approval", "rejection", "principal", "emergency", "revision with 0 approvals", "revision with 1 approvals"} {
		if written[what] == 0 {
			t.Errorf("nothing is written of this kind: %s", what)
		}
	}
}
