package flags_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

// TestNoCourseOfEventsServesBelowAGuarantee lets a source, an operator, the
// clock and the disk do what they like, and holds every step to the promise by
// a naive account of what has happened:
//
//   - Where the last value that was for sure is below the guarantee, nothing
//     but the essential pages is forwarded.
//   - A breach ends only by an acknowledgement that covers it, or by a revision
//     that guarantees the flag no longer.
//   - No app is told a value below.
func TestNoCourseOfEventsServesBelowAGuarantee(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{T: rt, now: moment(noon), source: newSource("source"), breaches: map[string]time.Time{}, below: map[string]bool{}}
		for _, flag := range watchedFlags { // so that all has been answered once
			w.source.says(flag, "", said{value: goodOf[flag][0], reason: openfeature.StaticReason})
		}
		w.open(t)
		defer func() { w.table.Close() }()
		w.revise()
		w.round(t)
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "what happens") {
			case 0, 1, 2:
				w.revise()
			case 3:
				w.table.Close()
				w.source = w.source.again()
				w.open(t)
			default:
				w.answerAnew()
			}
			w.now = w.now.Add(time.Duration(rapid.IntRange(1, 3).Draw(rt, "minutes")) * time.Minute)
			w.round(t)
		}
	})
}

// A world is what has happened so far.
type world struct {
	*rapid.T
	now       time.Time
	source    *source
	table     *flags.Table
	withdrawn bool // France, by the policy
	policy    *policy.Policy
	acked     []acked
	kept      []byte
	breaches  map[string]time.Time // first seen, by "FR tier"
	below     map[string]bool      // the last value that was for sure, by "FR tier"
}

type acked struct {
	flag, jurisdiction string // "": everywhere
	at                 time.Time
}

var (
	watchedFlags  = []string{e2ee, "tier"}
	watchedPlaces = []string{"FR", "FR-IDF"}

	goodOf  = map[string][]any{e2ee: {true}, "tier": {"gold", "silver"}}
	belowOf = map[string][]any{e2ee: {false}, "tier": {"bronze", "", "\xff"}}
)

// saidOf are answers for a flag: good ones, ones below, and no answers at all.
func saidOf(flag string) *rapid.Generator[said] {
	good, below := goodOf[flag], belowOf[flag]
	none := []said{
		down, absent, echo(openfeature.DefaultReason), echo(openfeature.StaticReason), echo(openfeature.DisabledReason),
		value(nil), value([]any{true}), value(3.5), value(math.NaN()),
		{value: below[0], reason: openfeature.ErrorReason}, {value: below[0], reason: openfeature.DisabledReason},
	}
	return rapid.OneOf(
		rapid.Map(rapid.SampledFrom(good), value),
		rapid.Map(rapid.SampledFrom(below), value),
		rapid.SampledFrom(none),
	)
}

// sure reports whether an answer is one, and whether it is below the guarantee.
func sure(flag string, a said) (sure, below bool) {
	if a.failed || a.echo || a.reason == openfeature.ErrorReason || a.reason == openfeature.DisabledReason {
		return false, false
	}
	switch v := a.value.(type) {
	case bool:
		return flag == e2ee, !v
	case string:
		return flag == "tier", v != "gold" && v != "silver"
	}
	return false, false
}

func (w *world) open(t *testing.T) {
	table, err := flags.Open(flags.Options{
		Providers: []openfeature.FeatureProvider{w.source},
		Saved:     w.kept,
		Save:      func(text []byte) error { w.kept = text; return nil },
		Now:       func() time.Time { return w.now },
	})
	if err != nil {
		w.Fatal(err)
	}
	w.table = table
}

// answerAnew changes what the source says of a flag somewhere.
func (w *world) answerAnew() {
	flag := rapid.SampledFrom(watchedFlags).Draw(w.T, "flag")
	place := rapid.SampledFrom(watchedPlaces).Draw(w.T, "place")
	w.source.says(flag, place, saidOf(flag).Draw(w.T, "answer"))
}

// revise takes a policy into use: it may acknowledge, observe, or guarantee
// less.
func (w *world) revise() {
	var b strings.Builder
	guarantees := map[string]string{e2ee: "{require: true}", "tier": "{one-of: [gold, silver]}"}
	phase := "announced"
	if w.withdrawn = rapid.IntRange(0, 2).Draw(w.T, "withdraw") == 0; w.withdrawn {
		phase = "withdrawn"
	}
	fmt.Fprintf(&b, "routes: {sign-up: [/signup], export: [/export]}\njurisdictions: {FR: %s, FR-IDF: %s, unlocated: closed-to-new}\nguarantees:\n", phase, phase)
	dropped := ""
	if rapid.IntRange(0, 9).Draw(w.T, "drop a guarantee") == 0 {
		dropped = rapid.SampledFrom(watchedFlags).Draw(w.T, "dropped")
	}
	for _, flag := range watchedFlags {
		if flag != dropped {
			fmt.Fprintf(&b, "  %s: %s\n", flag, guarantees[flag])
		}
	}
	if rapid.Bool().Draw(w.T, "observe") {
		b.WriteString("mode: observe\n")
		w.withdrawn = false
	}
	w.acked = nil
	if rapid.IntRange(0, 3).Draw(w.T, "acknowledge") > 0 {
		a := acked{
			flag:         rapid.SampledFrom(watchedFlags).Draw(w.T, "acknowledged"),
			jurisdiction: rapid.SampledFrom(append(watchedPlaces, "", "")).Draw(w.T, "where"),
			at:           w.now.Add(time.Duration(rapid.IntRange(-3, 3).Draw(w.T, "at")) * time.Minute),
		}
		// Mostly one that is about something.
		if seen := slices.Sorted(maps.Keys(w.breaches)); len(seen) > 0 && rapid.IntRange(0, 3).Draw(w.T, "to the point") > 0 {
			a.jurisdiction, a.flag, _ = strings.Cut(rapid.SampledFrom(seen).Draw(w.T, "breach"), " ")
		}
		if a.flag != dropped {
			w.acked = append(w.acked, a)
			where := ""
			if a.jurisdiction != "" {
				where = "jurisdiction: " + a.jurisdiction + ", "
			}
			fmt.Fprintf(&b, "acknowledge: [{flag: %s, %sat: %s, by: Ada, because: Checked.}]\n", a.flag, where, a.at.Format(time.RFC3339))
		}
	}
	p, err := document.Parse("policy.yaml", []byte("version: 1\n"+b.String()))
	if err != nil {
		w.Fatal(err)
	}
	w.policy = p
}

// acknowledgedUntil says until when breaches are acknowledged.
func (w *world) acknowledgedUntil(flag, place string) time.Time {
	var latest time.Time
	for _, a := range w.acked {
		where := a.jurisdiction == "" || a.jurisdiction == place || a.jurisdiction == "FR" && place == "FR-IDF"
		if a.flag == flag && where && a.at.After(latest) {
			latest = a.at
		}
	}
	return latest
}

// round evaluates everything, keeps the naive account, and compares.
func (w *world) round(t *testing.T) {
	w.table.Evaluate(t.Context(), always(w.policy))
	for _, place := range watchedPlaces {
		for _, flag := range watchedFlags {
			w.account(flag, place)
		}
	}
	s := policy.Compile(w.policy, w.table.Known(), w.now)
	for _, code := range watchedPlaces {
		place := policy.PlaceOf(policy.Code(code))
		withheld := false
		for _, flag := range watchedFlags {
			_, named := w.policy.Flag(flag)
			since, breached := w.table.Known().In(policy.Code(code)).Breached[flag]
			seen, expected := w.breaches[code+" "+flag]
			if breached != expected || !since.Equal(seen) {
				w.Fatalf("at %v: %s in %s: a breach is known: %t, since %v; but by the account: %t, since %v", w.now, flag, code, breached, since, expected, seen)
			}
			withheld = withheld || expected || named && w.below[code+" "+flag]
		}
		for class, name := range w.policy.Classes() {
			d := s.Decide(place, policy.Class(class))
			if withheld && name != policy.Essential && d.Action != policy.Refuse {
				w.Fatalf("at %v: %s in %s gets %+v", w.now, name, code, *d)
			}
			if !withheld && d.Reason == policy.ByGuarantee {
				w.Fatalf("at %v: %s in %s is withheld for nothing: %+v", w.now, name, code, *d)
			}
		}
		for _, told := range s.FlagsToApp(policy.Code(code)) {
			f, _ := w.policy.Flag(told.Name)
			if !f.Allows(told.Value) {
				w.Fatalf("at %v: the app is told %v in %s", w.now, told, code)
			}
		}
	}
}

// account is what the promise says about the latest answer.
func (w *world) account(flag, place string) {
	about := place + " " + flag
	f, named := w.policy.Flag(flag)
	if !named || f.Guarantee == nil {
		delete(w.breaches, about)
		delete(w.below, about)
		return
	}
	answer, ok := w.source.rules[flag][place]
	if !ok {
		answer = w.source.rules[flag][""]
	}
	served := !w.withdrawn || !strings.HasPrefix(place, "FR")
	seen, breached := w.breaches[about]
	isSure, below := sure(flag, answer)
	if !isSure {
		if w.below[about] && !breached && served { // the policy has opened what was known to be below
			w.breaches[about] = w.later(w.acknowledgedUntil(flag, place))
		}
		return
	}
	until := w.acknowledgedUntil(flag, place)
	covered := breached && !until.Before(seen)
	w.below[about] = below
	switch {
	case below && (!breached && served || covered):
		w.breaches[about] = w.later(until)
	case !below && covered:
		delete(w.breaches, about)
	}
}

// later is now, or when nothing is acknowledged any more: nobody can acknowledge
// a breach before it is seen, whatever the clock says.
func (w *world) later(until time.Time) time.Time {
	if !until.Before(w.now) {
		return until.Add(time.Second)
	}
	return w.now
}
