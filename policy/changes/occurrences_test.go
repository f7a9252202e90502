package changes_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// recorded writes what took place, as far as it isn't in the ledger, and returns how
// many records that took.
func (w *world) recorded(gateway string, all ...changes.Occurrence) (written int) {
	w.t.Helper()
	for {
		draft, err := w.s.RecordOccurrences(gateway, all)
		var refusal *changes.Error
		if errors.As(err, &refusal) && refusal.Code == changes.NoChange {
			return written
		}
		w.must(w.write(draft, err))
		written++
		if w.last().Format() != 3 || w.last().Author != "exitgate" {
			w.t.Errorf("it has format %d, by %s", w.last().Format(), w.last().Author)
		}
	}
}

func tookStep(revision uint64, due time.Time) changes.Occurrence {
	return changes.Occurrence{Kind: changes.StepTaken, Revision: revision, Due: due, At: due.Add(time.Second), Changes: []string{"open → withdrawn: FR"}}
}

func breach(kind changes.Kind, revision uint64, place policy.Code, since time.Time) changes.Occurrence {
	return changes.Occurrence{Kind: kind, Revision: revision, At: since, Breach: changes.Breach{Jurisdiction: place, Flag: "e2ee", Since: since}}
}

// Issue 10 F: a breach that flaps makes one record, not thousands; issue 11 number 9.
func TestWhatTookPlaceIsRecordedOnce(t *testing.T) {
	const guarded = "version: 1\nguarantees: {e2ee: {require: true}}\n"
	acknowledging := func(at time.Time) string {
		return guarded + "acknowledge: [{flag: e2ee, jurisdiction: FR, at: " + at.Format(time.RFC3339) + ", by: Ada, because: It was a mistake.}]\n"
	}
	breached, acknowledged := changes.GuaranteeBreached, changes.BreachAcknowledged
	minute := func(n int) time.Time { return begin.Add(time.Duration(n) * time.Minute) }

	w := begun(t, guarded)
	expect := func(what string, want int, gateway string, all ...changes.Occurrence) {
		t.Helper()
		if got := w.recorded(gateway, all...); got != want {
			t.Errorf("%s: %d records, want %d", what, got, want)
		}
	}
	expect("a step", 1, "a", tookStep(1, minute(1)))
	expect("the same step at another gateway, a second later", 0, "b", tookStep(1, minute(1)))
	expect("two more", 2, "b", tookStep(1, minute(1)), tookStep(1, minute(2)), tookStep(1, minute(3)))

	expect("breaches of one flag in two places", 1, "a", breach(breached, 1, "FR", minute(4)), breach(breached, 1, "DE", minute(4)))
	for i := range 1000 {
		expect("one that flaps", 0, "b", breach(breached, 1, "FR", minute(5+i)))
	}
	expect("an acknowledgement of one that isn't acknowledged yet by a revision", 0, "b", breach(acknowledged, 1, "FR", minute(3)))
	w.must(w.proposes(ada, changes.Proposal{Policy: []byte(acknowledging(minute(2000)))}))
	revision := w.s.Revision().Number
	expect("its acknowledgement", 1, "a", breach(acknowledged, revision, "FR", minute(4)))
	expect("the same at another gateway", 0, "b", breach(acknowledged, revision, "FR", minute(5)))
	expect("a breach of before that is told late", 0, "c", breach(breached, 1, "FR", minute(6)))
	expect("a breach in that revision", 1, "a", breach(breached, revision, "FR", minute(2001)))
	expect("the same, which flaps", 0, "b", breach(breached, revision, "FR", minute(2002)))
	w.must(w.proposes(ada, changes.Proposal{Policy: []byte(guarded)}))
	expect("the same, when the policy has forgotten the acknowledgement", 0, "b", breach(breached, revision, "FR", minute(2003)))
	w.must(w.proposes(ada, changes.Proposal{Policy: []byte(acknowledging(minute(3000)))}))
	w.must(w.proposes(ada, changes.Proposal{Policy: []byte(guarded)}))
	expect("one after an acknowledgement that the policy has forgotten", 1, "a", breach(breached, w.s.Revision().Number, "FR", minute(3001)))
	expect("one elsewhere that nobody has acknowledged", 0, "a", breach(breached, w.s.Revision().Number, "DE", minute(3002)))
	expect("a step of a revision that is no longer in force", 1, "a", tookStep(revision, minute(2500)))

	restored, err := changes.Restore([]byte(kept(t, w.s)), changes.Supplement{}, parsers)
	w.must(err)
	w.s = restored
	expect("all of it after a restart", 0, "a", tookStep(1, minute(1)), breach(breached, 1, "DE", minute(4)), breach(acknowledged, revision, "FR", minute(4)))

	revisions := 0
	for _, r := range w.records {
		d, err := changes.Describe(r)
		w.must(err)
		if d.Revision != nil {
			revisions++
		}
		if took := d.Took != nil; took == (d.Revision != nil) || took && (d.Gateway == "" || d.Summary == "") {
			t.Errorf("record %d is described as %+v", r.Number, d)
		}
	}
	if w.s.Revision().Number != 11 || revisions != 5 {
		t.Errorf("revision %d is in force, of %d", w.s.Revision().Number, revisions)
	}
}

// Issue 11 number 9: bounded in number.
func TestWhatTookPlaceIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("counts to the bounds, one after the other")
	}
	w := begun(t, rules)
	var steps, breaches []changes.Occurrence
	for i := range changes.MaxSteps + 10 {
		steps = append(steps, tookStep(uint64(i), begin))
	}
	if n := w.recorded("a", steps...); n != len(steps) {
		t.Errorf("%d records of %d steps", n, len(steps))
	}
	if w.recorded("b", steps...) != 0 {
		t.Error("what is forgotten is recorded again")
	}
	for i := range changes.MaxBreaches + 10 {
		o := breach(changes.GuaranteeBreached, 1, "FR", begin)
		o.Breach.Flag += string(rune('a' + i))
		breaches = append(breaches, o)
	}
	if n := w.recorded("a", breaches...); n != 1 {
		t.Errorf("%d records of breaches that came together", n)
	}
	if size := len(kept(t, w.s)); size > 1<<20 {
		t.Errorf("what is kept has %d bytes", size)
	}
}

func TestStepsTaken(t *testing.T) {
	p, err := parse([]byte(`version: 1
jurisdictions:
  FR: {schedule: [{from: 2026-11-22T03:00:00Z, phase: announced}, {from: 2026-11-22T04:00:00Z, phase: withdrawn}]}
  DE: {schedule: [{from: 2026-11-22T04:00:00Z, phase: withdrawn}]}
  IT: {schedule: [{from: 2026-11-22T05:00:00Z, phase: withdrawn}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range changes.StepsTaken(p, nil, 7, begin, begin.Add(2*time.Hour)) {
		got = append(got, o.Due.Format("15:04"))
		got = append(got, o.Changes...)
	}
	if want := []string{"03:00", "open → announced: FR", "04:00", "announced → withdrawn: FR", "open → withdrawn: DE"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestACutIsRecordedOnce(t *testing.T) {
	w := begun(t, rules)
	cut := func(market policy.Code, n int) changes.Occurrence {
		return changes.Occurrence{Kind: changes.MarketSevered, Revision: 1, At: w.now, Severed: changes.Severed{Jurisdiction: market, Exchanges: n}}
	}
	step := changes.Occurrence{Kind: changes.StepTaken, Revision: 1, At: w.now, Due: w.now, Changes: []string{"open → withdrawn: FR"}}
	all := []changes.Occurrence{cut("FR", 12), step, cut("RE", 1)}
	for _, kind := range []changes.Kind{changes.StepTaken, changes.MarketSevered} { // what earlier versions read comes first
		w.must(w.write(w.s.RecordOccurrences("gateway-1", all)))
		if got := w.last().Kind; got != kind {
			t.Fatalf("a record of kind %s, not %s", got, kind)
		}
	}
	d, err := changes.Describe(w.last())
	if err != nil || !strings.Contains(d.Summary, "12 in FR, 1 in RE") || !slices.Equal(d.Places, []policy.Code{"FR", "RE"}) || w.last().Format() != 5 {
		t.Errorf("%+v, %v", d, err)
	}
	restored, err := changes.Restore([]byte(kept(t, w.s)), w.s.Supplement(), parsers)
	w.must(err)
	for _, s := range []changes.State{w.s, restored} {
		if _, err := s.RecordOccurrences("gateway-2", []changes.Occurrence{cut("FR", 3), step}); w.code(err) != "no-change" {
			t.Errorf("it is recorded again: %v", err)
		}
		if s.IsRecorded(cut("DE", 1)) || s.IsRecorded(changes.Occurrence{Kind: changes.MarketSevered, Revision: 2, Severed: changes.Severed{Jurisdiction: "FR"}}) {
			t.Error("another one is, too")
		}
	}
}
