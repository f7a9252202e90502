package flags_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"
	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

// parse reads a policy, but for its first line, which is always the same.
func parse(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, err := document.Parse("policy.yaml", []byte("version: 1\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// clientOf binds a provider to an API of its own.
func clientOf(t testing.TB, provider openfeature.FeatureProvider, hooks ...openfeature.Hook) *openfeature.Client {
	t.Helper()
	api := isolated.NewAPI()
	api.AddHooks(hooks...)
	if err := api.SetProviderAndWait(t.Context(), provider); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Shutdown(t.Context()) })
	return api.NewClient()
}

// about is the evaluation context of an app that knows nothing but the
// jurisdiction, or not even that.
func about(jurisdiction string) openfeature.EvaluationContext {
	if jurisdiction == "" {
		return openfeature.EvaluationContext{}
	}
	return openfeature.NewTargetlessEvaluationContext(map[string]any{"jurisdiction": jurisdiction})
}

// evaluate says what a client makes of a flag: the value, its type and reason,
// and any error.
func evaluate(t testing.TB, c *openfeature.Client, flag string, def any, about openfeature.EvaluationContext) string {
	var value any
	var details openfeature.EvaluationDetails
	var err error
	switch def := def.(type) {
	case bool:
		var d openfeature.BooleanEvaluationDetails
		d, err = c.BooleanValueDetails(t.Context(), flag, def, about)
		value, details = d.Value, d.EvaluationDetails
	case int64:
		var d openfeature.IntEvaluationDetails
		d, err = c.IntValueDetails(t.Context(), flag, def, about)
		value, details = d.Value, d.EvaluationDetails
	case float64:
		var d openfeature.FloatEvaluationDetails
		d, err = c.FloatValueDetails(t.Context(), flag, def, about)
		value, details = d.Value, d.EvaluationDetails
	case string:
		var d openfeature.StringEvaluationDetails
		d, err = c.StringValueDetails(t.Context(), flag, def, about)
		value, details = d.Value, d.EvaluationDetails
	default:
		var d openfeature.InterfaceEvaluationDetails
		d, err = c.ObjectValueDetails(t.Context(), flag, def, about)
		value, details = d.Value, d.EvaluationDetails
	}
	text := fmt.Sprintf("%T %v %s", value, value, details.Reason)
	if err != nil {
		text += fmt.Sprintf(" %s: %s", details.ErrorCode, details.ErrorMessage)
	}
	return text
}

func TestThePolicysTableIsAProvider(t *testing.T) {
	c := clientOf(t, flags.PolicyProvider(parse(t, `
groups: {andean: [BO, CO, EC, PE]}
flags:
  end-to-end-encryption: true
  retention-days: {value: 0, in: {EU: 7, FR: 5, FR-IDF: 3, andean: 1, unlocated: 9, private: 8}}
  sampling: {value: 1, in: {FR: 0.5}}
  tier: {in: {DE: gold}}
`)))
	for _, test := range []struct {
		name, flag, jurisdiction string
		def                      any
		want                     string
	}{
		{"a value for everywhere", "end-to-end-encryption", "FR", false, "bool true STATIC"},
		{"a country", "retention-days", "FR", int64(-1), "int64 5 STATIC"},
		{"a subdivision", "retention-days", "FR-IDF", int64(-1), "int64 3 STATIC"},
		{"a subdivision of the second level takes the value of the first", "retention-days", "FR-75C", int64(-1), "int64 3 STATIC"},
		{"a subdivision takes the value of its country", "retention-days", "FR-ARA", int64(-1), "int64 5 STATIC"},
		{"a built-in group", "retention-days", "DE", int64(-1), "int64 7 STATIC"},
		{"a group of the operator's", "retention-days", "PE", int64(-1), "int64 1 STATIC"},
		{"a country that nothing is said of", "retention-days", "US", int64(-1), "int64 0 STATIC"},
		{"unlocated", "retention-days", "unlocated", int64(-1), "int64 9 STATIC"},
		{"private", "retention-days", "private", int64(-1), "int64 8 STATIC"},
		{"no jurisdiction is unlocated", "retention-days", "", int64(-1), "int64 9 STATIC"},
		{"junk is unlocated", "retention-days", "France", int64(-1), "int64 9 STATIC"},
		{"a group is no place: unlocated", "retention-days", "EU", int64(-1), "int64 9 STATIC"},
		{"a whole number of a flag with fractions is a float", "sampling", "DE", -1.0, "float64 1 STATIC"},
		{"a float", "sampling", "FR", -1.0, "float64 0.5 STATIC"},
		{"a string", "tier", "DE", "none", "string gold STATIC"},
		{"no value there", "tier", "FR", "none", "string none ERROR FLAG_NOT_FOUND: the policy sets no flag tier"},
		{"no such flag", "dark-mode", "FR", true, "bool true ERROR FLAG_NOT_FOUND: the policy sets no flag dark-mode"},
		{"a string is no boolean", "tier", "DE", true, "bool true ERROR TYPE_MISMATCH: the policy has tier of type string"},
		{"an integer is no float", "retention-days", "FR", 1.5, "float64 1.5 ERROR TYPE_MISMATCH: the policy has retention-days of type integer"},
		{"a float is no integer, not even a whole one", "sampling", "DE", int64(4), "int64 4 ERROR TYPE_MISMATCH: the policy has sampling of type float"},
		{"nothing is an object", "tier", "DE", []any{}, "[]interface {} [] ERROR TYPE_MISMATCH: the policy has tier of type string"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := evaluate(t, c, test.flag, test.def, about(test.jurisdiction)); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestTheProviderOfAPolicyAgreesWithIt asks through go-sdk for what the policy
// says of itself.
func TestTheProviderOfAPolicyAgreesWithIt(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := parse(t, settings(r))
		client, own := clientOf(t, flags.PolicyProvider(p)), p.OwnFlags()
		table := open(t, flags.Options{})
		if diff := cmp.Diff(own, table.Evaluate(t.Context(), always(p)), exactly); diff != "" && own != nil {
			t.Errorf("a table of nothing else differs (-policy +table)\n%s", diff)
		}
		for _, code := range append(slices.Clone(someCodes), "GP", "FR-ARA", "US", "anonymous", "nowhere") {
			place := policy.PlaceOf(policy.Code(code))
			for _, f := range p.Flags() {
				v, set := p.Value(f.Name, place)
				if got := own.In(place.Jurisdiction()).Values[f.Name]; got != v {
					r.Fatalf("%s in %s: the policy's table has %v, its value is %v", f.Name, code, got, v)
				}
				def := map[policy.Kind]any{policy.Boolean: false, policy.Integer: int64(-1), policy.Float: -1.0, policy.String: "none"}[f.Kind]
				want := fmt.Sprintf("%T %v STATIC", v.Any(), v.Any())
				if !set {
					want = fmt.Sprintf("%T %v ERROR FLAG_NOT_FOUND: the policy sets no flag %s", def, def, f.Name)
				}
				if got := evaluate(t, client, f.Name, def, about(code)); got != want {
					r.Fatalf("%s in %s: the provider says %s, and the policy %s", f.Name, code, got, want)
				}
			}
		}
	})
}

// someCodes are enough to have all ways in which a setting can reach a place.
var someCodes = []string{"FR", "FR-IDF", "FR-75C", "US-MS", "EU", "DE", "unlocated", "private"}

// exactly compares values as they are, and times as moments.
var exactly = cmp.Comparer(func(a, b policy.Value) bool { return a == b })

// settings draws the flags: of a policy.
func settings(r *rapid.T) string {
	values := map[string]*rapid.Generator[string]{
		"end-to-end-encryption": rapid.SampledFrom([]string{"true", "false"}),
		"retention-days":        rapid.SampledFrom([]string{"0", "7", "-3", "999999999999999"}),
		"sampling":              rapid.SampledFrom([]string{"0.5", "1", "-0.125", "0"}),
		"tier":                  rapid.SampledFrom([]string{"gold", `""`, `"true"`, "été"}),
	}
	var b strings.Builder
	b.WriteString("flags:\n  always: true\n")
	for _, flag := range slices.Sorted(maps.Keys(values)) {
		everywhere := rapid.Bool().Draw(r, flag)
		at := rapid.SliceOfNDistinct(rapid.SampledFrom(someCodes), 0, 4, rapid.ID).Draw(r, flag+" in")
		if !everywhere && len(at) == 0 {
			continue
		}
		fmt.Fprintf(&b, "  %s: {", flag)
		if everywhere {
			fmt.Fprintf(&b, "value: %s, ", values[flag].Draw(r, "value"))
		}
		b.WriteString("in: {")
		for _, code := range at {
			fmt.Fprintf(&b, "%s: %s, ", code, values[flag].Draw(r, code))
		}
		b.WriteString("}}\n")
	}
	return b.String()
}
