package flags_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/policy"
)

const (
	e2ee = "end-to-end-encryption"

	alarm  = `level=ERROR msg="a flag is below its guarantee: the service is withdrawn there until a policy revision acknowledges it" jurisdiction=FR flag=end-to-end-encryption guarantee="require true"` + "\n"
	lifted = `level=INFO msg="the breach of a guarantee is acknowledged, and its flag is as guaranteed: the jurisdiction is no longer withheld for it" jurisdiction=FR flag=end-to-end-encryption since=`
)

// breached makes a rig in which end-to-end-encryption is below its guarantee in
// France since 12:02.
func breached(t testing.TB) *rig {
	r := rigged(t, guaranteed)
	r.round()
	r.source.says(e2ee, "FR", value(false))
	r.round()
	return r
}

// acknowledged adds an acknowledgement to the policy of most tests.
func acknowledged(what, at string) string {
	return guaranteed + fmt.Sprintf("acknowledge: [{%s, at: %s, by: Ada, because: It was a mistake at the source.}]\n", what, at)
}

const inFrance = "flag: end-to-end-encryption, jurisdiction: FR"

func TestAValueBelowItsGuaranteeWithdrawsTheJurisdiction(t *testing.T) {
	r := rigged(t, guaranteed)
	r.round()
	r.want("before", r.gets("FR"), allIsWell)
	r.source.says(e2ee, "FR", value(false))
	r.round()
	for range 2 {
		r.want("in France", r.gets("FR"), withheld)
		r.want("in a part of it", r.gets("FR-IDF"), withheld)
		r.want("in a territory, which is a jurisdiction of its own", r.gets("GP"), allIsWell)
		r.want("elsewhere", r.gets("DE"), allIsWell)
		r.want("breaches", r.breaches, []string{"FR " + e2ee})
		r.want("status", r.table.Status().Breaches, []flags.Unacknowledged{{Jurisdiction: "FR", Flag: e2ee, Since: moment("2026-11-22T12:02:00Z")}})
		r.want("refused", r.refused(), []string(nil))
		r.round()
	}
	r.want("one line in the log", r.logged(), alarm)

	d := policy.Compile(r.policy, r.table.Known(), r.now).Decide(policy.PlaceOf("FR"), 0)
	if d.Flag != e2ee || !d.Since.Equal(moment("2026-11-22T12:02:00Z")) {
		t.Errorf("the decision is because of %q since %v", d.Flag, d.Since)
	}
}

func TestAnyValueBelowAGuaranteeIsABreach(t *testing.T) {
	for _, test := range []struct {
		name, flag string
		value      any
	}{
		{"a boolean that is required otherwise", e2ee, false},
		{"a number above the most", "retention-days", int64(8)},
		{"a number far above the most, such that no app could be told", "retention-days", int64(1e15)},
		{"the most that there is", "retention-days", int64(1<<63 - 1)},
		{"a number below the least", "sampling", 0.249},
		{"a number below the least of four decimals", "sampling", 0.2499},
		{"a number far below the least", "sampling", -1e300},
		{"a string that is not one of those", "tier", "bronze"},
		{"a string of another case", "tier", "Gold"},
		{"an empty string", "tier", ""},
		{"a megabyte", "tier", strings.Repeat("gold", 1<<18)},
		{"a string that is not UTF-8", "tier", "gold\xff"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rigged(t, guaranteed)
			r.source.says(test.flag, "FR", value(test.value))
			r.round()
			if got := r.gets("FR"); !strings.HasPrefix(got, "refuse, withdrawn by guarantee:") || strings.Contains(got, test.flag) {
				t.Errorf("in France: %s", got)
			}
			r.want("elsewhere", r.gets("DE"), allIsWell)
			r.want("breaches", r.breaches, []string{"FR " + test.flag})
			if known := r.table.Known()["FR"].Values[test.flag]; !known.IsZero() || len(r.kept) > 1<<20 {
				t.Error("the value is kept")
			}
		})
	}
}

// TestWhatAnAcknowledgementCovers has a breach in France, first seen at 12:02.
// The flag is good again when a revision comes at 12:04.
func TestWhatAnAcknowledgementCovers(t *testing.T) {
	const at = "2026-11-22T12:03:00Z"
	for _, test := range []struct {
		name, document string
		covered        bool
	}{
		{"none", guaranteed, false},
		{"the flag in the jurisdiction", acknowledged(inFrance, at), true},
		{"at the moment it was first seen", acknowledged(inFrance, "2026-11-22T12:02:00Z"), true},
		{"at the moment of the revision", acknowledged(inFrance, "2026-11-22T12:04:00Z"), true},
		{"in another zone", acknowledged(inFrance, "2026-11-22T13:03:00+01:00"), true},
		{"older than the breach", acknowledged(inFrance, "2026-11-22T12:01:59Z"), false},
		{"later than the gateway's clock", acknowledged(inFrance, "2026-11-22T12:04:01Z"), true},
		{"another jurisdiction", acknowledged("flag: end-to-end-encryption, jurisdiction: DE", at), false},
		{"only a part of the country", acknowledged("flag: end-to-end-encryption, jurisdiction: FR-IDF", at), false},
		{"a territory of the country", acknowledged("flag: end-to-end-encryption, jurisdiction: GP", at), false},
		{"another flag", acknowledged("flag: retention-days, jurisdiction: FR", at), false},
		{"all jurisdictions", acknowledged("flag: end-to-end-encryption", at), true},
		{"a group", acknowledged("flag: end-to-end-encryption, jurisdiction: EU", at), true},
		{"another group", acknowledged("flag: end-to-end-encryption, jurisdiction: Mercosur", at), false},
		{"a demand", acknowledged("demand: law", at) + "demands: {law: {jurisdiction: FR, stage: repealed, requires: {end-to-end-encryption: false}}}\n", true},
		{"a demand of a group", acknowledged("demand: law", at) + "demands: {law: {jurisdiction: EU, stage: repealed, requires: {end-to-end-encryption: false}}}\n", true},
		{"a demand elsewhere", acknowledged("demand: law", at) + "demands: {law: {jurisdiction: DE, stage: repealed, requires: {end-to-end-encryption: false}}}\n", false},
		{"a demand about another flag", acknowledged("demand: law", at) + "demands: {law: {jurisdiction: FR, stage: repealed, requires: {retention-days: 90}}}\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := breached(t)
			r.source.forgets(e2ee, "FR")
			r.round()
			r.logged()
			r.revise(test.document)
			if test.covered {
				r.want("in France", r.gets("FR"), allIsWell)
				r.want("status", r.table.Status().Breaches, []flags.Unacknowledged(nil))
				r.want("logged", r.logged(), lifted+"2026-11-22T12:02:00.000Z\n")
			} else {
				r.want("in France", r.gets("FR"), withheld)
				r.want("logged", r.logged(), "")
			}
			r.want("breaches", r.breaches, []string{"FR " + e2ee})
		})
	}
}

// TestNobodyCanAcknowledgeABreachBeforeItIsSeen: neither a date in the future
// nor a clock that is set back makes an acknowledgement cover what comes after
// it.
func TestNobodyCanAcknowledgeABreachBeforeItIsSeen(t *testing.T) {
	r := breached(t)
	r.source.forgets(e2ee, "FR")
	r.revise(acknowledged(inFrance, "2030-01-01T00:00:00Z"))
	r.want("the one before it", r.gets("FR"), allIsWell)
	r.source.says(e2ee, "FR", value(false))
	r.round()
	r.source.forgets(e2ee, "FR")
	r.round()
	r.want("the one after it", r.gets("FR"), withheld)
	r.revise(acknowledged(inFrance, "2030-01-01T00:00:01Z"))
	r.want("acknowledged anew", r.gets("FR"), allIsWell)
}

func TestAnAcknowledgementOfAFlagThatIsStillBelowIsANewBreach(t *testing.T) {
	r := breached(t)
	r.revise(acknowledged(inFrance, "2026-11-22T12:02:30Z"))
	r.want("in France", r.gets("FR"), withheld)
	r.want("breaches", r.breaches, []string{"FR " + e2ee, "FR " + e2ee})
	r.want("logged", r.logged(), alarm+alarm)
	r.round()
	r.source.forgets(e2ee, "FR")
	r.round()
	r.want("good again", r.gets("FR"), withheld)
	r.want("breaches", r.breaches, []string{"FR " + e2ee, "FR " + e2ee})
	r.want("status", r.table.Status().Breaches, []flags.Unacknowledged{{Jurisdiction: "FR", Flag: e2ee, Since: moment("2026-11-22T12:03:00Z")}})
}

func TestWhileASourceHasNoGoodAnswerAnAcknowledgementOpensNothing(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer said
	}{
		{"down", down},
		{"left to a default", echo(openfeature.DefaultReason)},
		{"of another type", value("true")},
		{"gone", absent},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := breached(t)
			r.source.says(e2ee, "FR", test.answer)
			r.revise(acknowledged(inFrance, "2026-11-22T12:02:30Z"))
			r.want("in France", r.gets("FR"), withheld)
			r.source.forgets(e2ee, "FR")
			r.round()
			r.want("once there is one", r.gets("FR"), allIsWell)
		})
	}
}

// TestWhatIsBelowWhereNothingIsServedIsNoBreach has a policy that says what the
// law makes of a flag where it has withdrawn the service.
func TestWhatIsBelowWhereNothingIsServedIsNoBreach(t *testing.T) {
	const guarantee = "guarantees: {retention-days: {at-most: 7}}\n"
	for _, test := range []struct{ name, flags, want string }{
		{"set to what is guaranteed", "flags: {retention-days: 3}\n", "forward, open by default: retention-days=3"},
		{"not set at all", "", "forward, open by default:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &rig{TB: t, now: moment(noon)}
			r.table = open(t, flags.Options{Now: func() time.Time { return r.now }})
			r.revise(guarantee + "flags: {retention-days: {in: {FR: 90}}}\njurisdictions: {FR: withdrawn}\n")
			r.want("under the law", r.gets("FR"), "refuse, withdrawn by entry:")
			r.want("breaches", r.table.Status().Breaches, []flags.Unacknowledged(nil))
			r.revise(guarantee + test.flags)
			r.want("repealed", r.gets("FR"), test.want)
		})
	}
}

// TestToReopenWhatIsKnownToBeBelowIsABreach, even if the source can't be asked
// at that moment.
func TestToReopenWhatIsKnownToBeBelowIsABreach(t *testing.T) {
	r := rigged(t, guaranteed+"jurisdictions: {FR: withdrawn}\n")
	r.source.says(e2ee, "FR", value(false))
	r.round()
	r.want("withdrawn by the policy", r.breaches, []string(nil))
	r.source.says(e2ee, "FR", down)
	r.restart()
	r.revise(guaranteed)
	r.want("reopened", r.gets("FR"), withheld)
	r.want("breaches", r.breaches, []string{"FR " + e2ee})
}

func TestARevisionThatGuaranteesAFlagNoLongerEndsItsBreach(t *testing.T) {
	for _, document := range []string{
		strings.Replace(guaranteed, "  end-to-end-encryption: {require: true}\n", "", 1),
		strings.Replace(guaranteed, "  end-to-end-encryption: {require: true}\n", "", 1) + "  end-to-end-encryption: {in: {AQ: true}}\n",
	} {
		r := breached(t)
		r.source.forgets(e2ee, "FR")
		r.revise(document)
		if got := r.gets("FR"); !strings.HasPrefix(got, "forward, open by default: ") {
			t.Errorf("%s\nin France: %s", document, got)
		}
		r.want("status", r.table.Status().Breaches, []flags.Unacknowledged(nil))
	}
}

func TestARevisionThatGuaranteesMoreFindsBreaches(t *testing.T) {
	r := rigged(t, guaranteed)
	r.round()
	r.revise(strings.Replace(guaranteed, "at-most: 7", "at-most: 2", 1))
	r.want("in France", r.gets("FR"), `refuse, withdrawn by guarantee: end-to-end-encryption=true sampling=0.5 theme="light" tier="gold"`)
	r.want("breaches", len(r.breaches), len(r.policy.Places()))
}

func TestAPartOfACountryInheritsItsBreach(t *testing.T) {
	r := breached(t)
	r.source.forgets(e2ee, "FR")
	r.revise(guaranteed + "jurisdictions: {FR-IDF: announced}\n")
	r.want("distinguished from now on", r.gets("FR-IDF"), withheld)
	r.want("status", r.table.Status().Breaches, []flags.Unacknowledged{
		{Jurisdiction: "FR", Flag: e2ee, Since: moment("2026-11-22T12:02:00Z")},
		{Jurisdiction: "FR-IDF", Flag: e2ee, Since: moment("2026-11-22T12:02:00Z")},
	})
}

func TestABreachOutlivesThatItsPlaceIsToldApart(t *testing.T) {
	r := rigged(t, guaranteed+"jurisdictions: {FR-IDF: announced}\n")
	r.source.says(e2ee, "FR-IDF", value(false))
	r.round()
	r.source.forgets(e2ee, "FR-IDF")
	r.revise(guaranteed)
	for range 2 {
		r.round()
		r.want("in the part of the country", r.gets("FR-IDF"), withheld)
		r.want("in the rest", r.gets("FR-ARA"), allIsWell)
		r.restart()
	}
	r.revise(acknowledged("flag: end-to-end-encryption, jurisdiction: FR", "2026-11-22T12:03:00Z"))
	r.want("acknowledged", r.gets("FR-IDF"), allIsWell)
	r.want("status", r.table.Status().Breaches, []flags.Unacknowledged(nil))
}

func TestARestartForgetsNoBreachAndNoValue(t *testing.T) {
	r := breached(t)
	r.source.forgets(e2ee, "FR")
	r.round()
	r.want("before", r.gets("FR"), withheld)
	before := r.table.Known()

	r.restart()
	if !r.table.Status().Answered {
		t.Error("what was kept doesn't count as answered")
	}
	r.want("before the first round", r.gets("FR"), withheld)
	r.want("elsewhere", r.gets("DE"), allIsWell)
	for _, flag := range []string{e2ee, "retention-days", "sampling", "tier", "theme"} {
		r.source.says(flag, "", down)
	}
	r.round()
	r.want("with the source down", r.gets("FR"), withheld)
	r.want("elsewhere", r.gets("DE"), allIsWell)
	if known := r.table.Known(); fmt.Sprint(known) != fmt.Sprint(before) {
		t.Errorf("known: %v, want %v", known, before)
	}
	r.want("breaches are reported once", r.breaches, []string{"FR " + e2ee})

	for _, flag := range []string{e2ee, "retention-days", "sampling", "tier", "theme"} {
		r.source.says(flag, "", map[string]said{e2ee: value(true), "retention-days": value(int64(3)), "sampling": value(0.5), "tier": value("gold"), "theme": value("light")}[flag])
	}
	r.restart()
	r.revise(acknowledged(inFrance, "2026-11-22T12:04:00Z"))
	r.want("acknowledged after another restart", r.gets("FR"), allIsWell)
	r.restart()
	r.round()
	r.want("and it stays so", r.gets("FR"), allIsWell)
}

// TestAWholeFloatSurvivesARestart as JSON has one type for all numbers.
func TestAWholeFloatSurvivesARestart(t *testing.T) {
	r := rigged(t, guaranteed)
	r.source.says("sampling", "", value(2.0))
	r.source.says("sampling", "DE", value(1e11))
	r.round()
	r.restart()
	r.source.says("sampling", "", down)
	r.source.says("sampling", "DE", down)
	r.want("before the first round", r.gets("FR"), strings.Replace(allIsWell, "0.5", "2.0", 1))
	r.round()
	r.want("after it", r.gets("FR"), strings.Replace(allIsWell, "0.5", "2.0", 1))
	r.want("a large one", r.gets("DE"), strings.Replace(allIsWell, "0.5", "100000000000.0", 1))
}

func TestWhatCannotBeReadIsNotPassedOver(t *testing.T) {
	for kept, want := range map[string]string{ // after the prefix; "": encoding/json's own words
		"":                                     "",
		"\x00\x00\x00\x00":                     "",
		"null":                                 "there is nothing in it",
		"[]":                                   "",
		`{"FR":{"values":{"a":true}}`:          "",
		`{"FR":{}}{"DE":{}}`:                   "",
		`{"FR":{"values":{"a":[1]}}}`:          "[1] is no boolean, number or string",
		`{"FR":{"values":{"a":1e999}}}`:        "",
		`{"FR":{"breached":{"a":true}}}`:       "",
		`{"FR":{"breached":{"a":"recently"}}}`: "",
		`{"FR":{"phase":"shut"}}`:              `"shut" is not a phase`,
	} {
		_, err := flags.Open(flags.Options{Saved: []byte(kept)})
		if err == nil || !strings.HasPrefix(err.Error(), "flags: what was known of them can't be read: "+want) {
			t.Errorf("%s: %v, want %s", kept, err, want)
		}
	}
}

func TestAFullDiskLosesNothingInMemory(t *testing.T) {
	const complaint = `level=ERROR msg="the flags could not be kept for the next start, which would forget the guarantees that were broken: make room in the data folder, and let the gateway write to it" error="write flags.json: no space left on device"` + "\n"
	r := rigged(t, guaranteed)
	r.round()
	before := string(r.kept)
	r.disk = errors.New("write flags.json: no space left on device")
	r.source.says(e2ee, "FR", value(false))
	r.source.says("tier", "DE", value("silver"))
	r.round()
	r.want("in France", r.gets("FR"), withheld)
	r.want("elsewhere", r.gets("DE"), strings.Replace(allIsWell, "gold", "silver", 1))
	r.want("logged", r.logged(), alarm+complaint)
	r.want("kept", string(r.kept), before)

	r.source.forgets(e2ee, "FR")
	r.round()
	r.logged()
	r.round()
	r.want("logged while the disk is full, again", r.logged(), "")
	if unkept := r.table.Status().SaveError; unkept != r.disk {
		t.Errorf("while the disk is full, the status says %v", unkept)
	}
	r.disk = nil
	r.round()
	r.want("logged with room on the disk", r.logged(), "")
	if unkept := r.table.Status().SaveError; unkept != nil {
		t.Errorf("with room on the disk, the status says %v", unkept)
	}
	r.restart()
	r.round()
	r.want("after a restart", r.gets("FR"), withheld)
}

// TestABreachIsKeptBeforeAllIsAnswered as a restart must not open what was
// withheld, though nothing was served yet.
func TestABreachIsKeptBeforeAllIsAnswered(t *testing.T) {
	r := rigged(t, guaranteed)
	r.source.says(e2ee, "FR", value(false))
	r.source.says("tier", "DE", down)
	r.round()
	if r.table.Status().Answered {
		t.Error("one jurisdiction is missing, and it passes for answered")
	}
	r.restart()
	if r.table.Status().Answered {
		t.Error("after a restart, it passes for answered")
	}
	r.source.says(e2ee, "FR", value(true))
	r.source.says("tier", "DE", value("gold"))
	r.round()
	if !r.table.Status().Answered {
		t.Error("it isn't answered")
	}
	r.want("in France", r.gets("FR"), withheld)
	r.want("elsewhere", r.gets("DE"), allIsWell)
}

func TestNothingIsKeptUntilSomethingChanges(t *testing.T) {
	r := rigged(t, guaranteed)
	r.round()
	first := r.kept
	r.kept = nil
	r.round()
	r.want("after a round without a change", string(r.kept), "")
	r.source.says("tier", "FR", value("silver"))
	r.round()
	if r.kept == nil || string(r.kept) == string(first) {
		t.Error("a change is not kept")
	}
	var known policy.Flags
	if err := json.Unmarshal(r.kept, &known); err != nil || known["FR"].Values["tier"].Any() != "silver" {
		t.Errorf("kept %v, %v", known["FR"], err)
	}
}
