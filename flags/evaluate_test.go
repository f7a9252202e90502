package flags_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-feature/go-sdk/openfeature"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/flags/ofrep"
)

// user is the context of somebody in a jurisdiction.
func user(jurisdiction string) map[string]any {
	return map[string]any{"targetingKey": "user-1", "jurisdiction": jurisdiction, "email": "ada@example.org"}
}

// answer says what an app gets: "true STATIC" or "GENERAL: …".
func (r *rig) answer(flag string, context map[string]any) string {
	return inWords(r.table.Answer(r.Context(), r.policy, flag, context))
}

func inWords(e ofrep.Evaluation) string {
	if e.ErrorCode != "" {
		return fmt.Sprintf("%s: %s%s", e.ErrorCode, e.ErrorDetails, string(e.Value))
	}
	return fmt.Sprintf("%s %s", string(e.Value), e.Reason)
}

func TestAnAppIsAnsweredForItsUsers(t *testing.T) {
	const leftToDefault = "GENERAL: the source left the value to a default: is the flag disabled there?"
	for _, test := range []struct {
		name, flag string
		answer     said
		want       string
	}{
		{"a boolean", e2ee, value(true), "true TARGETING_MATCH"},
		{"an integer", "retention-days", value(int64(5)), "5 TARGETING_MATCH"},
		{"a float", "sampling", value(0.75), "0.75 TARGETING_MATCH"},
		{"a string", "tier", value("silver"), `"silver" TARGETING_MATCH`},
		{"a flag that nothing is guaranteed of", "theme", value("dark"), `"dark" TARGETING_MATCH`},
		{"a value that no field could tell: the body of an answer can", "theme", value(strings.Repeat("x", 300)), `"` + strings.Repeat("x", 300) + `" TARGETING_MATCH`},
		{"an integer of 16 digits", "retention-days", value(int64(-1e15)), "-1000000000000000 TARGETING_MATCH"},
		{"for all", "tier", said{value: "gold", reason: openfeature.StaticReason}, `"gold" STATIC`},
		{"by default", "tier", said{value: "gold", reason: openfeature.DefaultReason}, `"gold" DEFAULT`},

		{"an unnamed boolean", "dark-mode", value(true), "true TARGETING_MATCH"},
		{"an unnamed boolean that is false", "dark-mode", value(false), "false TARGETING_MATCH"},
		{"an unnamed integer", "group-size", value(int64(50)), "50 TARGETING_MATCH"},
		{"an unnamed float", "ratio", value(0.125), "0.125 TARGETING_MATCH"},
		{"an unnamed string", "greeting", value("Grüezi"), `"Grüezi" TARGETING_MATCH`},
		{"an unnamed object", "limits", value(map[string]any{"files": 3, "size": "1 MB"}), `{"files":3,"size":"1 MB"} TARGETING_MATCH`},
		{"an unnamed list", "colours", value([]any{"red", 1, nil}), `["red",1,null] TARGETING_MATCH`},
		{"an unnamed value that JSON doesn't have", "limits", value(map[string]any{"ratio": math.NaN()}), "GENERAL: its value can't be written as JSON"},
		{"an unnamed number that is none", "ratio", value(math.Inf(1)), "GENERAL: +Inf is no value of a flag"},
		{"an unnamed flag that is disabled", "dark-mode", echo(openfeature.DisabledReason), leftToDefault},
		{"an unnamed flag and a fault", "dark-mode", down, "GENERAL: the flag server is down"},

		{"no such flag", "nonsense", absent, "FLAG_NOT_FOUND: not found in any provider"},
		{"a flag that the source no longer has", "tier", absent, `"gold" STALE`},
		{"another type", "tier", value(true), `"gold" STALE`},
		{"no targeting key", "tier", failure(openfeature.NewTargetingKeyMissingResolutionError("add one")), "TARGETING_KEY_MISSING: add one"},
		{"a context that the source can't use", "tier", failure(openfeature.NewInvalidContextResolutionError("plan is no string")), "INVALID_CONTEXT: plan is no string"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rigged(t, guaranteed)
			r.round()
			r.source.says(test.flag, "user-1", test.answer)
			if got := r.answer(test.flag, user("FR")); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			r.want("breaches", r.breaches, []string(nil))
			r.want("logged", r.logged(), "")
		})
	}
}

// TestAnAppNeverGetsAValueBelowAGuarantee for a user either, and looks for the
// value in all that it gets.
func TestAnAppNeverGetsAValueBelowAGuarantee(t *testing.T) {
	for _, test := range []struct {
		flag    string
		value   any
		secrets []string
		want    string
	}{
		{e2ee, false, []string{"false"}, "GENERAL: the value of end-to-end-encryption in FR is below what is guaranteed (require true), and is withheld"},
		{"retention-days", int64(31337), []string{"31337"}, "GENERAL: the value of retention-days in FR is below what is guaranteed (at-most 7), and is withheld"},
		{"sampling", 0.0625, []string{"0.0625"}, "GENERAL: the value of sampling in FR is below what is guaranteed (at-least 0.25), and is withheld"},
		{"tier", "bronze", []string{"bronze", "a-variant", "a-note"}, `GENERAL: the value of tier in FR is below what is guaranteed (one-of ["gold", "silver"]), and is withheld`},
	} {
		t.Run(test.flag, func(t *testing.T) {
			r := rigged(t, guaranteed)
			r.round()
			before := r.gets("FR")
			r.source.says(test.flag, "user-1", said{value: test.value, reason: openfeature.SplitReason, variant: "a-variant", metadata: openfeature.FlagMetadata{"note": "a-note"}})
			e := r.table.Answer(t.Context(), r.policy, test.flag, user("FR"))
			r.want("answer", inWords(e), test.want)
			all, err := r.table.AnswerAll(t.Context(), r.policy, user("FR"))
			if err != nil || len(all) != 5 {
				t.Errorf("bulk: %d flags, %v", len(all), err)
			}
			text, err := json.Marshal(append(all, e))
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range append(test.secrets, "ada@example.org", "user-1") {
				if strings.Contains(string(text), secret) || strings.Contains(r.log.String(), secret) {
					t.Errorf("it says %q:\n%s\n%s", secret, text, r.log.String())
				}
			}
			r.want("breaches, single and bulk", r.breaches, []string{"FR " + test.flag, "FR " + test.flag})
			r.round()
			r.want("the jurisdiction, whose own value is good", r.gets("FR"), before)
		})
	}
}

func TestABreachForUsersIsLoggedNowAndThenAndCountedEachTime(t *testing.T) {
	const line = `level=ERROR msg="a flag would have been below its guarantee for a user: the app got an error in its place" jurisdiction=%s flag=%s guarantee="require true"` + "\n"
	r := rigged(t, guaranteed)
	r.round()
	r.source.says(e2ee, "user-1", value(false))
	ask := func(jurisdiction string, times int) {
		for range times {
			r.answer(e2ee, user(jurisdiction))
		}
	}
	ask("FR", 3)
	ask("DE", 2)
	r.want("logged at first", r.logged(), fmt.Sprintf(line, "FR", e2ee)+fmt.Sprintf(line, "DE", e2ee))
	r.now = r.now.Add(10*time.Minute - time.Nanosecond)
	ask("FR", 2)
	r.want("logged within ten minutes", r.logged(), "")
	r.now = r.now.Add(time.Nanosecond)
	ask("FR", 2)
	r.want("logged after ten minutes", r.logged(), fmt.Sprintf(line, "FR", e2ee))
	r.want("breaches", len(r.breaches), 9)
}

// TestAContextGetsIntoNoLog as an app may put anything into what should be a
// jurisdiction.
func TestAContextGetsIntoNoLog(t *testing.T) {
	for _, junk := range []any{"ada@example.org", "fr", "FRA", "EU", "anonymous", "FR\njurisdiction=DE", strings.Repeat("A", 1<<20), "", nil, 33, []any{"FR"}, map[string]any{"FR": true}} {
		r := rigged(t, guaranteed)
		r.round()
		r.source.says(e2ee, "user-1", value(false))
		context := user("")
		context["jurisdiction"] = junk
		r.want(fmt.Sprintf("%.30v", junk), r.answer(e2ee, context), "GENERAL: the value of end-to-end-encryption is below what is guaranteed (require true), and is withheld")
		r.want("breaches", r.breaches, []string{" " + e2ee})
		r.want("logged", r.logged(), `level=ERROR msg="a flag would have been below its guarantee for a user: the app got an error in its place" jurisdiction="" flag=end-to-end-encryption guarantee="require true"`+"\n")
	}
}

// TestWhileTheSourceFailsWhatIsKnownOfTheJurisdictionIsTheAnswer of the flags
// that the policy names.
func TestWhileTheSourceFailsWhatIsKnownOfTheJurisdictionIsTheAnswer(t *testing.T) {
	r := rigged(t, guaranteed)
	r.source.says("tier", "DE", value("silver"))
	r.source.says(e2ee, "IT", value(false))
	r.source.says("dark-mode", "", value(true))
	r.round()
	for _, flag := range []string{e2ee, "tier", "dark-mode"} {
		r.source.says(flag, "user-1", down)
	}
	const fault = "GENERAL: the flag server is down"
	for _, test := range []struct{ name, flag, jurisdiction, want string }{
		{"a country", "tier", "FR", `"gold" STALE`},
		{"another country", "tier", "DE", `"silver" STALE`},
		{"a part of it", "tier", "DE-BE", `"silver" STALE`},
		{"no jurisdiction", "tier", "", fault},
		{"junk", "tier", "Germany", fault},
		{"a breach has no value", e2ee, "IT", fault},
		{"a flag that the policy doesn't name", "dark-mode", "FR", fault},
	} {
		if got := r.answer(test.flag, user(test.jurisdiction)); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
	r.source.says("tier", "user-1", echo(openfeature.DefaultReason))
	r.want("left to a default", r.answer("tier", user("FR")), `"gold" STALE`)
	r.policy = parse(t, strings.Replace(guaranteed, "gold, silver", "silver, bronze", 1))
	r.want("under a policy that guarantees another value, before its first round", r.answer("tier", user("FR")),
		"GENERAL: the source left the value to a default: is the flag disabled there?")
	r.want("logged", strings.Count(r.logged(), "\n"), 1) // the breach in Italy
}

func TestThePolicyThatIsAskedAboutAnswers(t *testing.T) {
	table := open(t, flags.Options{})
	for _, days := range []int{3, 5} {
		p := parse(t, fmt.Sprintf("flags: {retention-days: {in: {FR: %d}}}\n", days))
		table.Evaluate(t.Context(), always(p))
		if got, want := inWords(table.Answer(t.Context(), p, "retention-days", user("FR"))), fmt.Sprintf("%d STATIC", days); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got, want := inWords(table.Answer(t.Context(), p, "retention-days", user("DE"))), "FLAG_NOT_FOUND: the policy sets no flag retention-days"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestAnAnswerTellsVariantAndMetadataButNotWhoAnswered(t *testing.T) {
	r := rigged(t, guaranteed)
	r.round()
	answer := said{value: "gold", reason: openfeature.SplitReason, variant: "b", metadata: openfeature.FlagMetadata{"team": "growth", "version": 3}}
	for _, flag := range []string{"tier", "unnamed"} {
		r.source.says(flag, "", answer)
		got := r.table.Answer(t.Context(), r.policy, flag, user("FR"))
		want := ofrep.Evaluation{Key: flag, Value: json.RawMessage(`"gold"`), Reason: "SPLIT", Variant: "b", Metadata: map[string]any{"team": "growth", "version": 3}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", flag, diff)
		}
	}
}

// TestThePhaseIsTheGatewaysOwnBusiness and no flag for apps.
func TestThePhaseIsTheGatewaysOwnBusiness(t *testing.T) {
	r := rigged(t, guaranteed)
	r.source.says("exitgate.phase", "", value("announced"))
	r.round()
	r.want("alone", r.answer("exitgate.phase", user("FR")), "FLAG_NOT_FOUND: exitgate.phase is no flag for apps: the field Market-Phase tells them")
}

// listing is a source that can say what flags it has.
type listing struct {
	*source
	keys []string
	err  error
}

type fetchedKey struct{}

func (l listing) Prefetch(ctx context.Context, c openfeature.FlattenedContext) (context.Context, []string, error) {
	return context.WithValue(ctx, fetchedKey{}, c["targetingKey"]), l.keys, l.err
}

func (l listing) StringEvaluation(ctx context.Context, flag string, def string, c openfeature.FlattenedContext) openfeature.StringResolutionDetail {
	if flag == "theme" && ctx.Value(fetchedKey{}) != nil {
		return openfeature.StringResolutionDetail{Value: fmt.Sprint("fetched for ", ctx.Value(fetchedKey{}))}
	}
	return l.source.StringEvaluation(ctx, flag, def, c)
}

func TestABulkAnswerHasWhatThePolicyNamesAndTheSourceLists(t *testing.T) {
	for _, test := range []struct {
		name  string
		keys  []string
		err   error
		extra string
		want  []string
	}{
		{"a source that can't list", nil, nil, "", []string{"end-to-end-encryption: true TARGETING_MATCH", "sampling: 0.5 TARGETING_MATCH", `theme: "light" TARGETING_MATCH`, "tier: GENERAL: the flag server is down"}},
		{"one that lists", []string{"tier", "dark-mode", "exitgate.phase", "nonsense"}, nil, "", []string{"dark-mode: true TARGETING_MATCH", "end-to-end-encryption: true TARGETING_MATCH", "sampling: 0.5 TARGETING_MATCH", `theme: "fetched for user-1" `, "tier: GENERAL: the flag server is down"}},
		{"one that fails to", []string{"dark-mode"}, errors.New("401"), "", []string{"end-to-end-encryption: true TARGETING_MATCH", "sampling: 0.5 TARGETING_MATCH", `theme: "light" TARGETING_MATCH`, "tier: GENERAL: the flag server is down"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inner := newSource("listing")
			for flag, v := range map[string]any{e2ee: true, "sampling": 0.5, "theme": "light", "dark-mode": true, "exitgate.phase": "open"} {
				inner.says(flag, "", value(v))
			}
			inner.says("tier", "", down)
			var provider openfeature.FeatureProvider = inner
			if test.keys != nil {
				provider = listing{inner, test.keys, test.err}
			}
			table, p := open(t, flags.Options{Providers: []openfeature.FeatureProvider{provider}}), parse(t, guaranteed)
			table.Evaluate(t.Context(), always(p))
			all, err := table.AnswerAll(t.Context(), p, user("FR"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range all {
				got = append(got, e.Key+": "+inWords(e))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestABulkAnswerOfNothingIsAnEmptyList(t *testing.T) {
	table := open(t, flags.Options{})
	p := parse(t, "")
	table.Evaluate(t.Context(), always(p))
	all, err := table.AnswerAll(t.Context(), p, user("FR"))
	if all == nil || len(all) != 0 || err != nil {
		t.Errorf("%v, %v", all, err)
	}
}
