package changes_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/google/go-cmp/cmp"
)

func kept(t testing.TB, s changes.State) string {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// story is a ledger that has a record of each kind.
func story(t testing.TB) *world {
	w := begun(t, rules)
	next := func(err error) {
		t.Helper()
		w.must(err)
		w.passes(time.Minute)
	}
	next(w.sets(w.root(), changes.Principal{Name: "ada", Roles: []changes.Role{changes.Operator, changes.Viewer}, User: "alove", Certificate: "ada@example.org"}))
	_, err := w.gives("ada", 1, w.now.Add(30*24*time.Hour))
	next(err)
	next(w.write(w.s.RevokeToken(w.root(), "ada", "aeaaaaaa", "lost", changes.Request{}, w.now)))
	next(w.proposes(ada, withdrawal())) // 5
	next(w.edits(oleg, 5, set("DE", policy.WindDown)))
	next(w.approves(bob, 5))
	p := w.agreed(opening())
	p.Request = changes.Request{Key: "k1", Fingerprint: "f1"}
	next(w.propose(ada, p)) // 8
	next(w.rejects(bob, 8))
	next(w.approves(eve, 5)) // 10
	next(w.proposes(ada, set("AT", policy.Withdrawn)))
	next(w.proposes(oleg, func() changes.Proposal { p := set("PL", policy.Withdrawn); p.Emergency = true; return p }()))
	next(w.approves(eve, 12))
	next(w.proposes(ada, proposing(string(w.s.Source())+"notices: {default: {status: 403}}\n")))
	next(w.removes(w.root(), "ada"))
	return w
}

func TestDescribe(t *testing.T) {
	w := story(t)
	var b strings.Builder
	for _, r := range w.records {
		d, err := changes.Describe(r)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%d %s by %s: %s\n", r.Number, r.Kind, r.Author, d.Summary)
		if d.Number != 0 {
			fmt.Fprintf(&b, "  about %d\n", d.Number)
		}
		if d.Emergency {
			fmt.Fprintf(&b, "  emergency\n")
		}
		if d.SHA256 != "" {
			fmt.Fprintf(&b, "  sha256 %s\n", d.SHA256)
		}
		if (d.Policy == nil) != (d.SHA256 == "") || d.Policy != nil && policy.Digest(d.Policy) != d.SHA256 {
			t.Errorf("record %d: %s is of another policy:\n%s", r.Number, d.SHA256, d.Policy)
		}
		if d.Revision != nil {
			head, err := json.Marshal(d.Revision)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "  %s\n", head)
		}
		line, _, _ := bytes.Cut(r.Body, []byte("\n"))
		fmt.Fprintf(&b, "  body %s\n", line)
	}
	testkit.Golden(t, "testdata/records.txt", b.String())
}

func TestTheStateAsItIsKept(t *testing.T) {
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(kept(t, story(t).s)), "", "  "); err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "testdata/state.json", indented.String()+"\n")
}

// What only a newer gateway knows, by its kind or by the format that its body
// says, is no fault of the ledger.
func TestUnknownRecordsAreCountedAndSkipped(t *testing.T) {
	for _, draft := range []changes.Draft{
		{Kind: "vote", Body: []byte("{}")},
		{Kind: "", Body: []byte("\x00")},
		{Kind: changes.ChangeRejected, Body: fmt.Appendf(nil, `{"format":%d,"change":16}`, changes.Format+1)},
		{Kind: changes.RevisionMade, Body: fmt.Appendf(nil, `{"format":%d}`+"\nversion: 1\n", changes.Format+2)},
	} {
		w := story(t)
		before := w.s
		s, err := w.s.With(changes.Record{Number: 16, Time: w.now, Draft: draft})
		if err != nil || s.Last() != 16 || s.Unknown() != before.Unknown()+1 {
			t.Errorf("%s %s: %v, record %d, %d unknown", draft.Kind, draft.Body, err, s.Last(), s.Unknown())
		}
		if !cmp.Equal(s.Revision(), before.Revision()) || !cmp.Equal(s.Changes(nil, w.now), before.Changes(nil, w.now)) {
			t.Errorf("%s %s changes what is in force or waits", draft.Kind, draft.Body)
		}
		if d, err := changes.Describe(changes.Record{Draft: draft}); err != nil || d.Summary == "" {
			t.Errorf("%s %s is described as %q, %v", draft.Kind, draft.Body, d.Summary, err)
		}
		restored, err := changes.Restore([]byte(kept(t, s)), changes.Supplement{}, parsers)
		if err != nil || restored.Unknown() != s.Unknown() {
			t.Errorf("restored: %d unknown, %v", restored.Unknown(), err)
		}
		if s, err = s.With(changes.Record{Number: 17, Time: w.now, Draft: must(w.s.Reject(bob, 11, "no", changes.Request{}, w.now))}); err != nil || s.Last() != 17 {
			t.Errorf("the next record: %v", err)
		}
	}
}

func must(d changes.Draft, err error) changes.Draft {
	if err != nil {
		panic(err)
	}
	return d
}

func TestCheckFormat(t *testing.T) {
	today := changes.Draft{Kind: changes.ChangeRejected, Body: []byte(`{"change":16}`)}
	newer := changes.Draft{Kind: changes.ChangeRejected, Body: fmt.Appendf(nil, `{"format":%d,"change":16}`, changes.Format+1)}
	for _, test := range []struct {
		draft   changes.Draft
		present []int
		written bool
	}{
		{today, nil, true},
		{today, []int{0, 1, 2}, true},
		{newer, nil, true},
		{newer, []int{changes.Format + 1, changes.Format + 2}, true},
		{newer, []int{changes.Format + 1, 1}, false},
		{newer, []int{changes.Format + 1, 0}, false}, // says nothing: it is of the first format
	} {
		var refused *changes.Error
		if err := changes.CheckFormat(test.draft, test.present); errors.As(err, &refused) == test.written {
			t.Errorf("%s with %v: %v", test.draft.Body, test.present, err)
		}
	}
}

func TestAStateOfANewerFormatIsRefused(t *testing.T) {
	text := strings.Replace(kept(t, story(t).s), "{", `{"version":4,`, 1)
	if _, err := changes.Restore([]byte(text), changes.Supplement{}, parsers); err == nil {
		t.Error("it was read")
	}
}

func TestInvalidRecordsChangeNothingButLast(t *testing.T) {
	w := story(t)
	w.must(w.proposes(ada, withdrawal())) // 16
	const head = `{"base":14,"authors":["ada"],"summary":"x"}`
	record := func(kind changes.Kind, body string) changes.Record {
		return changes.Record{Number: 17, Time: w.now, Draft: changes.Draft{Kind: kind, Author: "eve", Reason: "so", Body: []byte(body)}}
	}
	const unwritten = "its body can't be read: it isn't written as exitgate writes it"
	for _, test := range []struct {
		name   string
		record changes.Record
		want   string
	}{
		{"without a body", record(changes.RevisionMade, ""), "record 17 (revision): its body can't be read: "},
		{"that isn't JSON", record(changes.ChangeRejected, "change 16"), "record 17 (rejection): its body can't be read: "},
		{"of another shape", record(changes.ChangeRejected, `{"change":"16"}`), "record 17 (rejection): its body can't be read: "},
		{"with a field that isn't known", record(changes.ChangeRejected, `{"change":16,"vote":1}`), "record 17 (rejection): " + unwritten},
		{"with a field twice", record(changes.ChangeRejected, `{"change":5,"change":16}`), "record 17 (rejection): " + unwritten},
		{"with a field in capitals", record(changes.ChangeRejected, `{"CHANGE":16}`), "record 17 (rejection): " + unwritten},
		{"with white space", record(changes.ChangeRejected, `{"change": 16}`), "record 17 (rejection): " + unwritten},
		{"with a line that follows", record(changes.ChangeRejected, `{"change":16}`+"\n"), "record 17 (rejection): " + unwritten},
		{"with something that follows", record(changes.ChangeRejected, `{"change":16}{}`), "record 17 (rejection): its body can't be read: "},
		{"that is null", record(changes.ChangeRejected, "null"), "record 17 (rejection): " + unwritten},
		{"without a policy", record(changes.RevisionMade, head), "record 17 (revision): it has no policy"},
		{"with a policy where there is none", record(changes.ChangeApproved, `{"change":16}`+"\nversion: 1\n"), "record 17 (approval): its body can't be read: "},
		{"with a policy that is wrong", record(changes.RevisionMade, head+"\nversion: 2\n"), "record 17 (revision): its policy is wrong: policy:1:10:"},
		{"with a policy of a change that is wrong", record(changes.ChangeProposed, strings.Replace(head, "}", `,"expires":"2026-12-01T00:00:00Z"}`, 1)+"\nversion: 2\n"), "record 17 (change): its policy is wrong: policy:1:10:"},
		{"that follows from another revision", record(changes.RevisionMade, strings.Replace(head, "14", "12", 1)+"\nversion: 1\n"), "record 17 (revision): it follows from revision 12, but revision 14 is in force"},
		{"that is another first one", changes.Record{Number: 17, Draft: changes.FirstRevision([]byte(rules))}, "record 17 (revision): it follows from revision 0, but revision 14 is in force"},
		{"that was a change that isn't there", record(changes.RevisionMade, strings.Replace(head, "}", `,"change":99}`, 1)+"\nversion: 1\n"), "record 17 (revision): no change 99 waits"},
		{"that was a change that has ended", record(changes.RevisionMade, strings.Replace(head, "}", `,"change":5}`, 1)+"\nversion: 1\n"), "record 17 (revision): no change 5 waits"},
		{"that edits what isn't there", record(changes.ChangeEdited, strings.Replace(head, "}", `,"change":99,"expires":"2026-12-01T00:00:00Z"}`, 1)+"\nversion: 1\n"), "record 17 (edit): no change 99 waits"},
		{"that edits nothing", record(changes.ChangeEdited, strings.Replace(head, "}", `,"expires":"2026-12-01T00:00:00Z"}`, 1)+"\nversion: 1\n"), "record 17 (edit): no change 0 waits"},
		{"that proposes what waits", record(changes.ChangeProposed, strings.Replace(head, "}", `,"change":16,"expires":"2026-12-01T00:00:00Z"}`, 1)+"\nversion: 1\n"), "record 17 (change): it edits change 16"},
		{"that approves what isn't there", record(changes.ChangeApproved, `{"change":99}`), "record 17 (approval): no change 99 waits"},
		{"that signs what is signed", record(changes.ChangeApproved, `{"revision":12}`), "record 17 (approval): no revision 12 waits for a signature"},
		{"that rejects what has ended", record(changes.ChangeRejected, `{"change":8}`), "record 17 (rejection): no change 8 waits"},
		{"that removes nobody", record(changes.PrincipalRemoved, `{"name":"ada"}`), `record 17 (principal-removed): there is no principal "ada"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := kept(t, w.s)
			after, err := w.s.With(test.record)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("%v", err)
			}
			if got, want := kept(t, after), strings.Replace(before, `"last":16`, `"last":17`, 1); got != want {
				t.Errorf("%s\n%s", got, want)
			}
			if after.Last() != 17 || after.Policy() != w.s.Policy() || kept(t, w.s) != before {
				t.Error("it has an effect")
			}
		})
	}

	t.Run("that is old changes nothing at all", func(t *testing.T) {
		for _, r := range w.records {
			after, err := w.s.With(r)
			if err == nil || kept(t, after) != kept(t, w.s) {
				t.Errorf("record %d: %v", r.Number, err)
			}
		}
	})
}

func TestAStateIsNotChangedByWhatFollowsIt(t *testing.T) {
	w := story(t)
	s := changes.New(parsers)
	states, texts := []changes.State{s}, []string{kept(t, s)}
	for _, r := range w.records {
		// Two that follow from the same one don't get in each other's way.
		other := r
		other.Author, other.Time = "mallory", r.Time.Add(time.Second)
		for _, r := range []changes.Record{other, r} {
			var err error
			if s, err = states[len(states)-1].With(r); err != nil {
				t.Fatal(err)
			}
		}
		states, texts = append(states, s), append(texts, kept(t, s))
	}
	for i, s := range states {
		if got := kept(t, s); got != texts[i] {
			t.Errorf("after %d records:\n%s\n%s", i, got, texts[i])
		}
	}
	if kept(t, s) != kept(t, w.s) {
		t.Errorf("%s\n%s", kept(t, s), kept(t, w.s))
	}
}

func TestRestore(t *testing.T) {
	w := story(t)
	w.must(w.proposes(ada, withdrawal())) // 16
	text := kept(t, w.s)
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", "unexpected end at byte 0"},
		{"half", text[:len(text)/2], "unexpected end at byte "},
		{"more", text + "{}", "not one JSON value at byte "},
		{"something else", `{"last":1,"votes":[]}`, ""},
		{"another policy", strings.Replace(text, `"policy":"dm`, `"policy":"dn`, 1), "its policy isn't the one of revision 14"},
		{"another digest", strings.Replace(text, w.s.Revision().SHA256, policy.Digest(nil), 1), "its policy isn't the one of revision 14"},
		{"another policy of a change", strings.Replace(text, `"status":"pending","policy":"dm`, `"status":"pending","policy":"dn`, 1), "its policy of change 11 isn't the one that was proposed"},
		{"an earlier record", strings.Replace(text, `"last":16`, `"last":13`, 1), "revision 14 is beyond the last record, 13"},
		{"a policy that was right once", `{"last":1,"revision":{"number":1,"time":"2026-11-22T02:00:00Z","sha256":"` + policy.Digest([]byte("no")) + `"},"policy":"bm8="}`, "policy:1:1:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := changes.Restore([]byte(test.text), changes.Supplement{}, parsers)
			if err == nil || !strings.HasPrefix(err.Error(), "the state that was kept can't be used: "+test.want) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("white space at the end", func(t *testing.T) {
		s, err := changes.Restore([]byte(text+"\n"), changes.Supplement{}, parsers)
		if err != nil || kept(t, s) != text || s.Policy() == nil || s.Policy().Digest() != w.s.Revision().SHA256 {
			t.Errorf("%v\n%s\n%s", err, kept(t, s), text)
		}
	})
	t.Run("the beginning", func(t *testing.T) {
		s, err := changes.Restore([]byte(kept(t, changes.New(parsers))), changes.Supplement{}, parsers)
		if err != nil || s.Last() != 0 || s.Policy() != nil || s.Revision().Number != 0 {
			t.Errorf("%v, %+v", err, s)
		}
		s, err = s.With(w.records[0])
		if err != nil || s.Revision().Number != 1 {
			t.Error(err)
		}
	})
}

func TestListsAreTheCallersOwn(t *testing.T) {
	w := story(t)
	w.must(w.sets(w.root(), named("eve", changes.Viewer)))
	w.must(w.proposes(ada, func() changes.Proposal { p := set("CZ", policy.Withdrawn); p.Emergency = true; return p }()))
	before := kept(t, w.s)
	w.s.Changes(nil, w.now)[0].Number = 99
	w.s.Principals()[0].Name = "x"
	w.s.Unsigned()[0].Number = 99
	w.s.ByUser("root").Roles[0] = "x"
	if got := kept(t, w.s); got != before {
		t.Errorf("%s\n%s", got, before)
	}
	if got := w.s.ByUser("root").Roles[0]; got != changes.Viewer {
		t.Error(got)
	}
}

func TestSummary(t *testing.T) {
	var names, patterns []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("feature-%02d", i))
		patterns = append(patterns, fmt.Sprintf("feature-%02d: [/%02d/]", i, i))
	}
	classes, features := strings.Join(names, ", "), "routes: {"+strings.Join(patterns, ", ")+"}\n"
	for _, test := range []struct{ name, before, after, want string }{
		{"nothing but a remark", "version: 1\n", "version: 1 # one\n", "nothing but the text"},
		{"one move", "version: 1\n", "version: 1\njurisdictions: {FR: withdrawn}\n", "FR open → withdrawn"},
		{"two", "version: 1\njurisdictions: {FR: announced}\n", "version: 1\njurisdictions: {DE: withdrawn}\n", "FR announced → open; DE open → withdrawn"},
		{"a group", "version: 1\n", "version: 1\njurisdictions: {EU: announced}\n", "AT, AX, BE and 31 more open → announced"},
		{"a schedule", "version: 1\n", "version: 1\njurisdictions: {FR: {schedule: [{from: 2026-12-01T00:00:00Z, phase: announced}, {from: 2027-01-01T00:00:00Z, phase: withdrawn}]}}\n",
			"FR open → announced from 2026-12-01 until 2027-01-01; FR open → withdrawn from 2027-01-01"},
		{"a feature", "version: 1\nroutes: {news: [/news/]}\n", "version: 1\nroutes: {news: [/news/]}\njurisdictions: {CA: {routes: [news], phase: withdrawn}}\n", "CA open → withdrawn (news)"},
		{"a mode", "version: 1\n", "version: 1\nmode: observe\n", "mode: enforce → observe"},
		{"what is new and gone", "version: 1\nguarantees: {a: {require: true}}\n", "version: 1\nguarantees: {b: {require: true}}\n", "guarantees a (gone); guarantees b (new)"},
		{"much of one thing", "version: 1\n" + features, "version: 1\n" + features + "jurisdictions: {CA: {routes: [" + classes + "], phase: withdrawn}}\n", "CA open → withdrawn (" + classes[:94] + "…"},
		{"much", "version: 1\n", "version: 1\njurisdictions: {FR: withdrawn, DE: announced, US: closed-to-new, CA: wind-down}\nmode: observe\nguarantees: {end-to-end-encryption: {require: true}, client-side-scanning: {require: false}, message-retention: {at-most: 0}}\n",
			"FR open → withdrawn (observed); DE open → announced; US open → closed-to-new (observed); CA open → wind-down (observed); mode: enforce → observe (3 more)"},
		{"a demand", "version: 1\nguarantees: {a: {require: true}}\ndemands: {law: {jurisdiction: IE, stage: proposed, requires: {a: false}}}\n", "version: 1\nguarantees: {a: {require: true}}\ndemands: {law: {jurisdiction: IE, stage: rejected, requires: {a: false}}}\n", "demand law: proposed → rejected"},
		{"a new one", "version: 1\n", "version: 1\ndemands: {law: {jurisdiction: IE, stage: proposed, requires: {a: false}}}\n", "demand law (new, proposed)"},
		{
			"an appeal, beside which the stage stays",
			"version: 1\ndemands: {law: {jurisdiction: IE, stages: [{stage: passed, date: 2026-01-01}], requires: {a: false}}}\n",
			"version: 1\ndemands: {law: {jurisdiction: IE, stages: [{stage: passed, date: 2026-01-01}, {stage: appealed, date: 2026-02-01}], requires: {a: false}}}\n",
			"demand law: appealed",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := begun(t, test.before)
			w.must(w.proposes(ada, proposing(test.after)))
			got := w.s.Revision().Summary
			if got != test.want || len(got) > 210 {
				t.Errorf("%d bytes: %s", len(got), got)
			}
		})
	}
}
