package changes_test

import (
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// FuzzWith gives a gateway any record: it takes what it can describe and leaves
// the rest, and the State can be kept afterwards in either case.
func FuzzWith(f *testing.F) {
	w := story(f)
	w.must(w.proposes(ada, withdrawal()))
	for _, o := range []changes.Occurrence{tookStep(1, begin), breach(changes.GuaranteeBreached, 1, "FR", begin), breach(changes.BreachAcknowledged, 1, "FR", begin)} {
		e := must(w.s.RecordOccurrences("a", []changes.Occurrence{o}))
		f.Add(string(e.Kind), e.Author, e.Reason, e.Body)
	}
	for _, r := range w.records {
		f.Add(string(r.Kind), r.Author, r.Reason, r.Body)
	}
	c, _, _ := w.s.Change(16, nil, w.now)
	if e, err := w.s.Approve(bob, 16, c.Plan, "", changes.Request{}, nil, w.now); err == nil {
		f.Add(string(e.Kind), e.Author, e.Reason, e.Body)
	}
	if e, err := w.s.Edit(ada, 16, w.agreed(set("DE", policy.ClosedToNew)), nil, w.now); err == nil {
		f.Add(string(e.Kind), e.Author, e.Reason, e.Body)
	}
	f.Fuzz(func(t *testing.T, kind, author, reason string, body []byte) {
		if !utf8.ValidString(kind + author + reason) {
			t.Skip("it is no record of a ledger")
		}
		r := changes.Record{Number: 17, Time: w.now, Draft: changes.Draft{Kind: changes.Kind(kind), Author: author, Reason: reason, Body: body}}
		given := slices.Clone(body)
		s, err := w.s.With(r)
		if s.Last() != 17 {
			t.Errorf("the last is %d", s.Last())
		}
		if !slices.Equal(body, given) {
			t.Error("the body was changed")
		}
		if err != nil {
			return
		}
		if _, err := changes.Describe(r); err != nil {
			t.Errorf("it is taken, but can't be described: %v", err)
		}
		text := kept(t, s)
		restored, err := changes.Restore([]byte(text), changes.Supplement{}, parsers)
		if err != nil || kept(t, restored) != text {
			t.Errorf("%v\n%s", err, text)
		}
		use(s)
	})
}

// FuzzRestore gives a gateway any file as what it has kept.
func FuzzRestore(f *testing.F) {
	w := story(f)
	f.Add([]byte(kept(f, changes.New(parsers))))
	f.Add([]byte(kept(f, w.s)))
	w.must(w.proposes(ada, withdrawal()))
	w.must(w.proposes(ada, emergency()))
	f.Add([]byte(kept(f, w.s)))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := changes.Restore(text, changes.Supplement{}, parsers)
		if err != nil {
			return
		}
		use(s)
		again, err := changes.Restore([]byte(kept(t, s)), changes.Supplement{}, parsers)
		if err != nil || kept(t, again) != kept(t, s) {
			t.Errorf("%v\n%s\n%s", err, kept(t, s), kept(t, again))
		}
	})
}

// use calls all that could stumble over what a State has been made of.
func use(s changes.State) {
	for _, c := range s.Changes(nil, begin) {
		s.Change(c.Number, nil, begin)
		_, _ = s.Approve(bob, c.Number, c.Plan, "", changes.Request{}, nil, begin)
		_, _ = s.Reject(bob, c.Number, "no", changes.Request{}, begin)
	}
	for _, u := range s.Unsigned() {
		_, _ = s.Approve(bob, u.Number, u.SHA256, "", changes.Request{}, nil, begin)
	}
	for _, p := range s.Principals() {
		s.ByUser(p.User)
		s.ByCertificate([]string{p.Certificate})
		_, _ = s.SetPrincipal(s.ByUser("root"), p, "so", changes.Request{}, begin)
	}
	if planned, err := s.Plan(withdrawal(), nil, begin); err == nil {
		p := withdrawal()
		p.Expected, p.Plan, p.Because = s.Revision().Number, planned.Plan.Hash, "so"
		_, _ = s.Propose(ada, p, nil, begin)
	}
}

// FuzzByToken shows a gateway any secret: only one is right.
func FuzzByToken(f *testing.F) {
	w := begun(f, rules)
	w.must(w.sets(w.root(), named("ada", changes.Operator)))
	right, err := w.gives("ada", 1, time.Time{})
	w.must(err)
	for _, secret := range []string{"", right, right[:20], right + right, "exg_aeaaaaaa_", "exg__", "Bearer " + right, "\x00\xff"} {
		f.Add(secret)
	}
	f.Fuzz(func(t *testing.T, secret string) {
		if a, ok := w.s.ByToken(secret, w.now); ok != (secret == right) || ok != (a.Name == "ada") {
			t.Errorf("%q is %+v, %v", secret, a, ok)
		}
	})
}
