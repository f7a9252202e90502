package flags_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/memprovider"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/flags/ofrep/client"
	"github.com/exitgate/exitgate/policy"
)

// A rig is a Table with a flag source that says what it is told to, and all
// that can be seen of it.
type rig struct {
	testing.TB
	policy       *policy.Policy
	source       *source
	table        *flags.Table
	now          time.Time
	log          strings.Builder
	breaches     []string
	acknowledged []string
	kept         []byte
	disk         error // what Keep returns
}

const noon = "2026-11-22T12:00:00Z"

// guaranteed is the policy of most tests here: a guarantee on a flag of each
// type, and a flag that nothing is guaranteed of.
const guaranteed = `
guarantees:
  end-to-end-encryption: {require: true}
  retention-days: {at-most: 7}
  sampling: {at-least: 0.25}
  tier: {one-of: [gold, silver]}
flags:
  theme: {in: {AQ: ice}}
`

// rigged makes a rig of a policy. The source says that all is well, for all
// users.
func rigged(t testing.TB, document string) *rig {
	r := &rig{TB: t, policy: parse(t, document), now: moment(noon), source: newSource("source")}
	for flag, v := range map[string]any{"end-to-end-encryption": true, "retention-days": int64(3), "sampling": 0.5, "tier": "gold", "theme": "light"} {
		r.source.says(flag, "", said{value: v, reason: openfeature.StaticReason})
	}
	r.open()
	return r
}

func (r *rig) open() {
	r.Helper()
	r.table = open(r, flags.Options{
		Providers: []openfeature.FeatureProvider{r.source},
		Saved:     r.kept,
		Save: func(text []byte) error {
			if r.disk == nil {
				r.kept = text
			}
			return r.disk
		},
		Logger: logger(&r.log),
		Now:    func() time.Time { return r.now },
		OnBreach: func(b flags.Unacknowledged) {
			r.breaches = append(r.breaches, string(b.Jurisdiction)+" "+b.Flag)
		},
		OnAcknowledged: func(b flags.Unacknowledged) {
			r.acknowledged = append(r.acknowledged, string(b.Jurisdiction)+" "+b.Flag)
		},
	})
}

func open(t testing.TB, o flags.Options) *flags.Table {
	t.Helper()
	table, err := flags.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	return table
}

// logger writes lines without their time.
func logger(to *strings.Builder) *slog.Logger {
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && groups == nil {
			return slog.Attr{}
		}
		return a
	}}))
}

// restart makes a new table of what was kept.
func (r *rig) restart() {
	r.Helper()
	r.table.Close()
	r.source = r.source.again()
	r.open()
}

// revise takes another policy into use.
func (r *rig) revise(document string) {
	r.Helper()
	r.policy = parse(r, document)
	r.round()
}

// round evaluates everything, a minute after the last time.
func (r *rig) round() policy.Flags {
	r.Helper()
	r.now = r.now.Add(time.Minute)
	return r.table.Evaluate(r.Context(), always(r.policy))
}

// gets says what a visitor from a jurisdiction gets, and what the app is told:
// "forward, open by default: tier="gold"".
func (r *rig) gets(jurisdiction policy.Code) string {
	s := policy.Compile(r.policy, r.table.Known(), r.now)
	d := s.Decide(policy.PlaceOf(jurisdiction), 0)
	text := fmt.Sprintf("%s, %s by %s:", d.Action, d.Phase, d.Reason)
	for _, told := range s.FlagsToApp(jurisdiction) {
		text += fmt.Sprintf(" %s=%s", told.Name, told.Value)
	}
	return text
}

const (
	allIsWell = `forward, open by default: end-to-end-encryption=true retention-days=3 sampling=0.5 theme="light" tier="gold"`
	withheld  = `refuse, withdrawn by guarantee: retention-days=3 sampling=0.5 theme="light" tier="gold"`
)

// logged returns what was logged since the last time.
func (r *rig) logged() string {
	text := r.log.String()
	r.log.Reset()
	return text
}

// refused says what was not accepted in the last round.
func (r *rig) refused() []string {
	var all []string
	for _, refusal := range r.table.Status().Rejected {
		all = append(all, refusal.String())
	}
	return all
}

func (r *rig) want(what string, got, want any) {
	r.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		r.Errorf("%s (-want +got)\n%s", what, diff)
	}
}

func moment(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

// A source is a provider that says what it is told to.
type source struct {
	name   string
	events chan openfeature.Event

	mu    sync.Mutex
	rules map[string]map[string]said // by flag, and jurisdiction or targeting key, "" for all others
	asked int
}

func newSource(name string) *source {
	return &source{name: name, events: make(chan openfeature.Event, 10), rules: map[string]map[string]said{}}
}

// again returns a source that says the same: go-sdk takes none a second time.
func (s *source) again() *source {
	return &source{name: s.name, events: make(chan openfeature.Event, 10), rules: s.rules}
}

// said is one answer of a source.
type said struct {
	value    any
	reason   openfeature.Reason
	err      openfeature.ResolutionError
	failed   bool
	echo     bool // the caller's default is the value
	variant  string
	metadata openfeature.FlagMetadata
}

func value(v any) said { return said{value: v, reason: openfeature.TargetingMatchReason} }

func echo(reason openfeature.Reason) said { return said{echo: true, reason: reason} }

func failure(err openfeature.ResolutionError) said {
	return said{err: err, failed: true, reason: openfeature.ErrorReason}
}

var (
	down   = failure(openfeature.NewGeneralResolutionError("the flag server is down"))
	absent = failure(openfeature.NewFlagNotFoundResolutionError("never heard of it"))
)

// says sets what is said of a flag in a jurisdiction, or to one targeting key
// only, or to all others ("").
func (s *source) says(flag, to string, answer said) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rules := maps.Clone(s.rules[flag])
	if rules == nil {
		rules = map[string]said{}
	}
	rules[to] = answer
	s.rules[flag] = rules
}

// forgets takes back what is said of a flag in a jurisdiction.
func (s *source) forgets(flag, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rules := maps.Clone(s.rules[flag])
	delete(rules, to)
	s.rules[flag] = rules
}

func (s *source) answer(flag string, c openfeature.FlattenedContext) said {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	for _, attribute := range []string{openfeature.TargetingKey, "jurisdiction"} {
		to, _ := c[attribute].(string)
		if a, ok := s.rules[flag][to]; ok && to != "" {
			return a
		}
	}
	if a, ok := s.rules[flag][""]; ok {
		return a
	}
	return absent
}

func (s *source) Metadata() openfeature.Metadata         { return openfeature.Metadata{Name: s.name} }
func (s *source) Hooks() []openfeature.Hook              { return nil }
func (s *source) EventChannel() <-chan openfeature.Event { return s.events }

func (s *source) BooleanEvaluation(_ context.Context, flag string, def bool, c openfeature.FlattenedContext) openfeature.BoolResolutionDetail {
	return resolve(s.answer(flag, c), def)
}

func (s *source) StringEvaluation(_ context.Context, flag string, def string, c openfeature.FlattenedContext) openfeature.StringResolutionDetail {
	return resolve(s.answer(flag, c), def)
}

func (s *source) FloatEvaluation(_ context.Context, flag string, def float64, c openfeature.FlattenedContext) openfeature.FloatResolutionDetail {
	return resolve(s.answer(flag, c), def)
}

func (s *source) IntEvaluation(_ context.Context, flag string, def int64, c openfeature.FlattenedContext) openfeature.IntResolutionDetail {
	return resolve(s.answer(flag, c), def)
}

func (s *source) ObjectEvaluation(_ context.Context, flag string, def any, c openfeature.FlattenedContext) openfeature.InterfaceResolutionDetail {
	return resolve(s.answer(flag, c), def)
}

func resolve[T any](s said, def T) openfeature.GenericResolutionDetail[T] {
	detail := openfeature.GenericResolutionDetail[T]{Value: def, ProviderResolutionDetail: openfeature.ProviderResolutionDetail{
		Reason: s.reason, Variant: s.variant, FlagMetadata: maps.Clone(s.metadata),
	}}
	v, ok := s.value.(T)
	switch {
	case s.failed:
		detail.ResolutionError = s.err
	case s.echo:
	case ok:
		detail.Value = v
	default:
		detail.ResolutionError, detail.Reason = openfeature.NewTypeMismatchResolutionError(fmt.Sprintf("it is a %T", s.value)), openfeature.ErrorReason
	}
	return detail
}

// TestOnlyWhatASourceHasSaidForSureIsAccepted lets a source change its mind
// about France. Elsewhere nothing changes, whatever it says.
func TestOnlyWhatASourceHasSaidForSureIsAccepted(t *testing.T) {
	const (
		leftToDefault = "the source left the value to a default: is the flag disabled there?"
		notTellable   = "flags are sent to apps in a structured field (RFC 9651), and "
	)
	with := func(v any, reason openfeature.Reason) said { return said{value: v, reason: reason} }
	for _, test := range []struct {
		name, flag string
		answer     said
		refused    string // "": it is accepted
		told       string // of the flag, after that
	}{
		{"another value", "retention-days", value(int64(5)), "", "5"},
		{"another value of a flag that nothing is guaranteed of", "theme", value("dark"), "", `"dark"`},
		{"an empty string is a value", "theme", value(""), "", `""`},
		{"a value for all", "tier", with("silver", openfeature.StaticReason), "", `"silver"`},
		{"a real value by default: the flag's rules end with one", "end-to-end-encryption", with(true, openfeature.DefaultReason), "", "true"},
		{"a real number by default", "retention-days", with(int64(0), openfeature.DefaultReason), "", "0"},
		{"a real string by default", "tier", with("silver", openfeature.DefaultReason), "", `"silver"`},
		{"a value from a cache", "tier", with("silver", openfeature.CachedReason), "", `"silver"`},
		{"a value for an unknown reason", "tier", with("silver", openfeature.UnknownReason), "", `"silver"`},
		{"a value for no reason", "tier", with("silver", ""), "", `"silver"`},

		{"the caller's default as a boolean", "end-to-end-encryption", echo(openfeature.DefaultReason), leftToDefault, "true"},
		{"the caller's default as an integer", "retention-days", echo(openfeature.DefaultReason), leftToDefault, "3"},
		{"the caller's default as a float", "sampling", echo(openfeature.DefaultReason), leftToDefault, "0.5"},
		{"the caller's default as a string", "tier", echo(openfeature.DefaultReason), leftToDefault, `"gold"`},
		{"the caller's default, said to be for all", "end-to-end-encryption", echo(openfeature.StaticReason), leftToDefault, "true"},
		{"the caller's default, said to be a match", "retention-days", echo(openfeature.TargetingMatchReason), leftToDefault, "3"},
		{"a disabled boolean", "end-to-end-encryption", echo(openfeature.DisabledReason), leftToDefault, "true"},
		{"a disabled string", "tier", echo(openfeature.DisabledReason), leftToDefault, `"gold"`},
		{"a value, but disabled", "retention-days", with(int64(5), openfeature.DisabledReason), "the source answered with the reason DISABLED", "3"},
		{"a value, but for an error", "retention-days", with(int64(5), openfeature.ErrorReason), "the source answered with the reason ERROR", "3"},
		{"a value below the guarantee for an error is no breach", "end-to-end-encryption", with(false, openfeature.ErrorReason), "the source answered with the reason ERROR", "true"},

		{"an error", "tier", down, "the flag server is down", `"gold"`},
		{"an error of the source's start", "tier", failure(openfeature.NewProviderNotReadyResolutionError("it is starting")), "it is starting", `"gold"`},
		{"an error without words", "tier", failure(openfeature.NewGeneralResolutionError("")), "the source answered with the error GENERAL", `"gold"`},
		{"a string for a boolean", "end-to-end-encryption", value("true"), "it is a string", "true"},
		{"an integer for a boolean", "end-to-end-encryption", value(int64(1)), "it is a int64", "true"},
		{"a float for an integer", "retention-days", value(3.0), "it is a float64", "3"},
		{"a boolean for a float", "sampling", value(true), "it is a bool", "0.5"},
		{"an object for a string", "tier", value(map[string]any{"tier": "gold"}), "it is a map[string]interface {}", `"gold"`},
		{"nothing for a string", "tier", value(nil), "it is a <nil>", `"gold"`},

		{"not a number", "sampling", value(math.NaN()), "NaN is no value of a flag", "0.5"},
		{"infinity, which is at least anything", "sampling", value(math.Inf(1)), "+Inf is no value of a flag", "0.5"},
		{"infinity below the guarantee", "sampling", value(math.Inf(-1)), "-Inf is no value of a flag", "0.5"},
		{"an integer of 16 digits", "retention-days", value(int64(-1e15)), notTellable + "it has more than 15 digits", "3"},
		{"an integer of 15 digits", "retention-days", value(int64(-999_999_999_999_999)), "", "-999999999999999"},
		{"the least integer", "retention-days", value(int64(math.MinInt64)), leftToDefault, "3"},
		{"a float of 13 digits", "sampling", value(1e12), notTellable + "it is not a number below 1,000,000,000,000", "0.5"},
		{"a float of four decimals", "sampling", value(0.3333), notTellable + "it has more than three decimals", "0.5"},
		{"the least float", "sampling", value(-math.MaxFloat64), leftToDefault, "0.5"},
		{"a megabyte", "theme", value(strings.Repeat("é", 1<<19)), notTellable + "it has more than 256 bytes", `"light"`},
		{"not UTF-8", "theme", value("d\xe4mmerung"), notTellable + "it is not UTF-8", `"light"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rigged(t, guaranteed)
			r.round()
			r.want("before", r.gets("FR"), allIsWell)

			r.source.says(test.flag, "FR", test.answer)
			r.round()
			was := map[string]string{"end-to-end-encryption": "true", "retention-days": "3", "sampling": "0.5", "tier": `"gold"`, "theme": `"light"`}[test.flag]
			r.want("in France", r.gets("FR"), strings.Replace(allIsWell, test.flag+"="+was, test.flag+"="+test.told, 1))
			r.want("elsewhere", r.gets("DE"), allIsWell)
			var refused []string
			if test.refused != "" {
				refused = []string{test.flag + " in FR: " + test.refused}
			}
			r.want("refused", r.refused(), refused)
			r.want("breaches", r.breaches, []string(nil))

			log := ""
			if refused != nil {
				log = fmt.Sprintf("level=WARN msg=\"answers for flags are not accepted; what was known of them stays\" flags=%s jurisdictions=FR error=%q\n", test.flag, test.refused)
			}
			r.want("logged", r.logged(), log)
			r.round()
			r.want("logged once more", r.logged(), "")
		})
	}
}

// TestWithoutAnAnswerThereIsNoValue has the same source from the first round
// on: nothing was known before.
func TestWithoutAnAnswerThereIsNoValue(t *testing.T) {
	for _, test := range []struct {
		name     string
		provider openfeature.FeatureProvider
		refused  string
	}{
		{"a source that knows nothing: go-sdk's provider for want of one", openfeature.NoopProvider{},
			"the source left the value to a default: is the flag disabled there?"},
		{"a source with the flag disabled", memprovider.NewInMemoryProvider(map[string]memprovider.InMemoryFlag{
			"end-to-end-encryption": {State: memprovider.Disabled, DefaultVariant: "on", Variants: map[string]any{"on": true, "off": false}},
		}), "the source left the value to a default: is the flag disabled there?"},
		{"a source with no variant", memprovider.NewInMemoryProvider(map[string]memprovider.InMemoryFlag{
			"end-to-end-encryption": {State: memprovider.Enabled, DefaultVariant: "on"},
		}), "incorrect type association"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := parse(t, "guarantees: {end-to-end-encryption: {require: true}}\n")
			table := open(t, flags.Options{Providers: []openfeature.FeatureProvider{test.provider}})
			known := table.Evaluate(t.Context(), always(p))
			status := table.Status()
			if status.Answered || !status.LastSuccess.IsZero() {
				t.Errorf("it passes for an answer: %+v", status)
			}
			if len(status.Rejected) != 1 || status.Rejected[0].Err.Error() != test.refused || len(status.Rejected[0].Jurisdictions) != len(p.Places()) {
				t.Errorf("refused: %v", status.Rejected)
			}
			if told := policy.Compile(p, known, moment(noon)).FlagsToApp("FR"); told != nil {
				t.Errorf("the app is told %v", told)
			}
		})
	}
}

func TestWithoutAnyProviderThePolicyIsTheSource(t *testing.T) {
	p := parse(t, "guarantees: {end-to-end-encryption: {require: true}}\nflags: {end-to-end-encryption: true, tier: {in: {FR: gold}}}\n")
	table := open(t, flags.Options{})
	if !table.Status().Answered {
		t.Error("a policy has to be waited for")
	}
	s := policy.Compile(p, table.Evaluate(t.Context(), always(p)), moment(noon))
	if got := fmt.Sprint(s.FlagsToApp("FR"), s.FlagsToApp("DE")); got != `[{end-to-end-encryption true} {tier "gold"}] [{end-to-end-encryption true}]` {
		t.Errorf("told %s", got)
	}
}

func TestTheFirstSourceThatHasAFlagAnswers(t *testing.T) {
	first, second := newSource("first"), newSource("second")
	p := parse(t, "flags: {a: policy, b: policy, c: policy, d: policy}\n")
	table := open(t, flags.Options{Providers: []openfeature.FeatureProvider{first, second}})
	first.says("a", "", value("first"))
	second.says("a", "", value("second"))
	second.says("b", "", value("second"))
	first.says("d", "", down)
	second.says("d", "", value("second"))

	s := policy.Compile(p, table.Evaluate(t.Context(), always(p)), moment(noon))
	if got := fmt.Sprint(s.FlagsToApp("FR")); got != `[{a "first"} {b "second"} {c "policy"}]` {
		t.Errorf("told %s", got)
	}
	if refused := table.Status().Rejected; len(refused) != 1 || fmt.Sprint(refused[0].Flags) != "[d]" {
		t.Errorf("a source that fails is no reason to ask the next one: %v", refused)
	}
}

func TestEachProviderNeedsANameOfItsOwn(t *testing.T) {
	for _, test := range []struct {
		names []string
		want  string
	}{
		{[]string{""}, `flags: each provider needs a name of its own, other than policy: one has ""`},
		{[]string{"policy"}, `flags: each provider needs a name of its own, other than policy: one has "policy"`},
		{[]string{"flagd", "flipt", "flagd"}, `flags: each provider needs a name of its own, other than policy: one has "flagd"`},
	} {
		var providers []openfeature.FeatureProvider
		for _, name := range test.names {
			providers = append(providers, newSource(name))
		}
		_, err := flags.Open(flags.Options{Providers: providers})
		if err == nil || err.Error() != test.want {
			t.Errorf("%q: %v, want %s", test.names, err, test.want)
		}
	}
}

// TestAGuaranteedFlagIsTheSameForAllUsers has a rule that answers by targeting
// key, as one by percentage does.
func TestAGuaranteedFlagIsTheSameForAllUsers(t *testing.T) {
	r := rigged(t, guaranteed)
	r.round()
	r.source.says("retention-days", "", value(int64(3)))
	r.source.says(e2ee, "", value(true))
	r.source.says("tier", "", value("gold"))
	r.source.says("retention-days", "FR/2", value(int64(4)))
	r.source.says("theme", "FR/2", value("dark"))
	r.source.says("end-to-end-encryption", "DE/3", down)
	r.source.says("end-to-end-encryption", "IT", value(false))
	r.source.says("end-to-end-encryption", "IT/1", value(true))
	r.source.says("tier", "US/1", absent)
	r.round()
	r.want("refused", r.refused(), []string{
		"tier in US: for another user: no flag source has it: add it there, or set it under flags: in the policy",
		"end-to-end-encryption in DE: for another user: the flag server is down",
		"retention-days, end-to-end-encryption in FR, IT: it differs between users: a guaranteed flag can't be given by percentage or by user",
	})
	for _, code := range []policy.Code{"FR", "DE", "IT", "US"} {
		r.want(string(code), r.gets(code), allIsWell)
	}

	r.source.says("theme", "FR", value("dark"))
	r.source.says("theme", "FR/1", value("darker"))
	r.round()
	r.want("a flag that nothing is guaranteed of", r.gets("FR"), strings.Replace(allIsWell, "light", "dark", 1))

	r.source.says("retention-days", "FR", said{value: int64(4), reason: openfeature.StaticReason})
	r.source.says("retention-days", "FR/1", said{value: int64(5), reason: openfeature.StaticReason})
	r.round()
	r.want("a source that says it is the same for all is believed", r.gets("FR"), strings.NewReplacer("light", "dark", "days=3", "days=4").Replace(allIsWell))
}

func TestUsersWithoutAnAnswerAreProbedOnlyForGuaranteedFlags(t *testing.T) {
	p := parse(t, "flags: {theme: {in: {AQ: ice}}}\n")
	s := newSource("source")
	s.says("theme", "", value("light"))
	table := open(t, flags.Options{Providers: []openfeature.FeatureProvider{s}})
	table.Evaluate(t.Context(), always(p))
	if want := 2 * len(p.Places()); s.asked != want { // theme and exitgate.phase
		t.Errorf("%d evaluations, want %d", s.asked, want)
	}
}

// TestALostEventCostsNothingButTime changes what a source says without a word.
func TestALostEventCostsNothingButTime(t *testing.T) {
	r := rigged(t, guaranteed)
	r.round()
	r.source.says("tier", "FR", value("silver"))
	r.want("before the next round", r.gets("FR"), allIsWell)
	r.round()
	r.want("after it", r.gets("FR"), strings.Replace(allIsWell, "gold", "silver", 1))
}

// TestAnEventIsOnlyAHint sends events that say nothing right.
func TestAnEventIsOnlyAHint(t *testing.T) {
	r := rigged(t, guaranteed)
	r.round()
	hinted(t, r.table) // the start
	for _, event := range []openfeature.Event{
		{EventType: openfeature.ProviderConfigChange, ProviderEventDetails: openfeature.ProviderEventDetails{FlagChanges: []string{"another"}}},
		{EventType: openfeature.ProviderConfigChange},
		{EventType: openfeature.ProviderStale},
		{EventType: openfeature.ProviderError, ProviderEventDetails: openfeature.ProviderEventDetails{Message: "down"}},
		{EventType: openfeature.ProviderReady},
	} {
		r.source.events <- event
		hinted(t, r.table)
		r.want(string(event.EventType), r.gets("FR"), allIsWell)
		r.round()
		r.want(string(event.EventType)+" and a round", r.gets("FR"), allIsWell)
		r.want("refused", r.refused(), []string(nil))
	}
}

// hinted waits for a hint.
func hinted(t *testing.T, table *flags.Table) {
	t.Helper()
	select {
	case <-table.Hints():
	case <-time.After(10 * time.Second):
		t.Fatal("there is no hint")
	}
}

func TestAFlagThatASourceNoLongerHasKeepsItsLastValue(t *testing.T) {
	r := rigged(t, guaranteed)
	r.round()
	for _, flag := range []string{"end-to-end-encryption", "retention-days", "sampling", "tier", "theme"} {
		r.source.says(flag, "", absent)
	}
	r.round()
	r.want("after that", r.gets("FR"), allIsWell)
	r.want("refused", r.refused(), []string{fmt.Sprintf("end-to-end-encryption, retention-days, sampling, tier in unlocated, private, AD, AE, AF and %d more: "+
		"no flag source has it: add it there, or set it under flags: in the policy", len(r.policy.Places())-5)})
	r.restart()
	r.round()
	r.want("after a restart", r.gets("FR"), allIsWell)
	r.want("the policy's own table comes after the source", r.gets("AQ"), strings.Replace(allIsWell, "light", "ice", 1))
}

func TestAFlagThatThePolicyNoLongerSetsIsDropped(t *testing.T) {
	const guarantee = "guarantees: {retention-days: {at-most: 7}}\n"
	table := open(t, flags.Options{})
	for _, step := range []struct{ document, want string }{
		{guarantee + "flags: {retention-days: 3, theme: light}\n", `[{retention-days 3} {theme "light"}]`},
		{guarantee + "flags: {retention-days: {in: {DE: 3}}, theme: dark}\n", `[{theme "dark"}]`},
		{guarantee + "flags: {retention-days: 2}\n", "[{retention-days 2}]"},
		{guarantee, "[]"},
	} {
		p := parse(t, step.document)
		s := policy.Compile(p, table.Evaluate(t.Context(), always(p)), moment(noon))
		if got := fmt.Sprint(s.FlagsToApp("FR")); got != step.want {
			t.Errorf("%s: told %s, want %s", step.document, got, step.want)
		}
	}
}

// TestARevisionMayChangeWhatIsGuaranteed has values that were good enough
// before, and a source that can't be asked whether they still are so.
func TestARevisionMayChangeWhatIsGuaranteed(t *testing.T) {
	r := rigged(t, "guarantees: {retention-days: {at-most: 7}}\n")
	r.round()
	r.source.says("retention-days", "", down)
	for _, step := range []struct{ document, want string }{
		{"guarantees: {retention-days: {at-most: 3}}\n", "forward, open by default: retention-days=3"},
		{"guarantees: {retention-days: {at-most: 2}}\n", "refuse, withdrawn by guarantee:"},
	} {
		r.revise(step.document)
		r.want(step.document, r.gets("FR"), step.want)
	}
	r.source.says("retention-days", "", value(int64(3)))
	r.round()
	r.want("once it is answered", r.gets("FR"), "refuse, withdrawn by guarantee:")
}

func TestAnIntegerBecomesAFloatWithItsPolicy(t *testing.T) {
	r := rigged(t, "guarantees: {sampling: {at-least: 1}}\n")
	r.source.says("sampling", "", value(int64(1)))
	r.round()
	r.want("as an integer", r.gets("FR"), "forward, open by default: sampling=1")
	r.source.says("sampling", "", down)
	r.revise("guarantees: {sampling: {at-least: 0.5}}\n")
	r.want("as a float", r.gets("FR"), "forward, open by default: sampling=1.0")
	r.revise("guarantees: {sampling: {require: all}}\n")
	r.want("as a string", r.gets("FR"), "forward, open by default:")
}

// TestSubdivisionsHaveFlagsOfTheirOwn as soon as the policy tells them apart.
func TestSubdivisionsHaveFlagsOfTheirOwn(t *testing.T) {
	const guarantee = "guarantees: {end-to-end-encryption: {require: true}}\n"
	r := rigged(t, guarantee+"jurisdictions: {US-MS: announced}\n")
	r.source.says("end-to-end-encryption", "US-MS", value(false))
	r.round()
	r.want("Mississippi", r.gets("US-MS"), "refuse, withdrawn by guarantee:")
	r.want("Texas", r.gets("US-TX"), "forward, open by default: end-to-end-encryption=true")
	r.want("the country", r.gets("US"), "forward, open by default: end-to-end-encryption=true")
}

func TestTheContextsOfAPlace(t *testing.T) {
	p := parse(t, "groups: {allies: [FR, US]}\njurisdictions: {US-MS: announced}\n")
	context := func(key, jurisdiction, country string, groups ...any) openfeature.FlattenedContext {
		c := openfeature.FlattenedContext{openfeature.TargetingKey: key, "jurisdiction": jurisdiction, "groups": append([]any{}, groups...)}
		if country != "" {
			c["country"] = country
		}
		return c
	}
	for _, test := range []struct {
		place policy.Place
		want  openfeature.FlattenedContext
	}{
		{policy.PlaceOf("US-MS"), context("US-MS", "US-MS", "US", "FVEY", "G20", "G7", "NATO", "OECD", "USMCA", "allies")},
		{policy.PlaceOf("CN"), context("CN", "CN", "CN", "BRICS", "G20")},
		{policy.Place{}, context("unlocated", "unlocated", "")},
		{policy.Place{Private: true}, context("private", "private", "")},
	} {
		got := flags.Contexts(p, test.place)
		want := []openfeature.FlattenedContext{}
		for _, probe := range []string{"", "/1", "/2", "/3"} {
			c := maps.Clone(test.want)
			c[openfeature.TargetingKey] = c[openfeature.TargetingKey].(string) + probe
			want = append(want, c)
		}
		// Which groups there are is not this package's business.
		for i := range got {
			if !slices.ContainsFunc(got[i]["groups"].([]any), func(g any) bool { return g == "allies" }) == (test.place.Country == "US") {
				t.Errorf("%v is in %v", test.place, got[i]["groups"])
			}
			got[i]["groups"], want[i]["groups"] = nil, nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got)\n%s", test.place, diff)
		}
	}
	if got := fmt.Sprint(flags.Names(parse(t, guaranteed))); got != "[end-to-end-encryption exitgate.phase retention-days sampling theme tier]" {
		t.Errorf("names: %s", got)
	}
}

// What flag servers are asked by fetches ahead.
var (
	_ interface {
		Cache(contexts []openfeature.FlattenedContext, flags []string) error
	} = (*client.Provider)(nil)
	_ interface {
		Prefetch(ctx context.Context, c openfeature.FlattenedContext) (context.Context, []string, error)
	} = (*client.Provider)(nil)
)

// always is a policy that stays the newest.
func always(p *policy.Policy) func() *policy.Policy { return func() *policy.Policy { return p } }
