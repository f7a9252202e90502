package flags_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"
	"github.com/open-feature/go-sdk/openfeature/memprovider"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/policy"
)

// fixed makes the flags of go-sdk's own provider in memory.
func fixed(values map[string]any) map[string]memprovider.InMemoryFlag {
	all := make(map[string]memprovider.InMemoryFlag)
	for name, v := range values {
		all[name] = memprovider.InMemoryFlag{Key: name, State: memprovider.Enabled, DefaultVariant: "only", Variants: map[string]any{"only": v}}
	}
	return all
}

// A breachLog keeps what a Guard reports, as "flag value in FR".
type breachLog struct {
	mu  sync.Mutex
	all []string
}

func (l *breachLog) add(b *flags.Breach) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := b.Flag + " " + b.Value.String()
	if b.Default {
		text = "default of " + text
	}
	if b.Jurisdiction != "" {
		text += " in " + string(b.Jurisdiction)
	}
	l.all = append(l.all, text)
}

func (l *breachLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.Join(l.all, ", ")
	l.all = nil
	return text
}

// TestTheGuardLetsNoValueBelowAGuaranteePass as a provider and as a hook: both
// come to the same.
func TestTheGuardLetsNoValueBelowAGuaranteePass(t *testing.T) {
	p := parse(t, guaranteed)
	inner := fixed(map[string]any{
		"retention-days": int64(90), "tier": "bronze", "sampling": 0.1, "theme": "light", "unnamed": false,
		"good-days": int64(3), "structured": map[string]any{"a": 1},
	})
	inner["disabled"] = memprovider.InMemoryFlag{State: memprovider.Disabled}
	inner[e2ee] = memprovider.InMemoryFlag{State: memprovider.Enabled, DefaultVariant: "off", Variants: map[string]any{"on": true, "off": false}}
	guarantees := map[string]policy.Guarantee{}
	for _, f := range p.Flags() {
		if f.Guarantee != nil {
			guarantees[f.Name] = *f.Guarantee
		}
	}
	yes, _ := policy.ValueOf(true)
	for _, name := range []string{"structured", "disabled", "absent", "mismatched"} {
		guarantees[name] = policy.Guarantee{Require: &yes}
	}
	guarantees["good-days"] = guarantees["retention-days"]
	inner["mismatched"] = inner["tier"]

	const is = " is below what is guaranteed "
	for _, test := range []struct {
		name, flag string
		def        any
		want       string
		reported   string
	}{
		{"a good value", "good-days", int64(1), "int64 3 STATIC", ""},
		{"a good value, whatever the default", "good-days", int64(90), "int64 3 STATIC", ""},
		{"a flag that nothing is guaranteed of", "theme", "dark", "string light STATIC", ""},
		{"a flag that the policy doesn't name", "unnamed", true, "bool false STATIC", ""},
		{"a boolean", e2ee, true, "bool true ERROR GENERAL: the value of end-to-end-encryption in FR" + is + "(require true), and is withheld", "end-to-end-encryption false in FR"},
		{"an integer", "retention-days", int64(0), "int64 0 ERROR GENERAL: the value of retention-days in FR" + is + "(at-most 7), and is withheld", "retention-days 90 in FR"},
		{"a float", "sampling", 1.0, "float64 1 ERROR GENERAL: the value of sampling in FR" + is + "(at-least 0.25), and is withheld", "sampling 0.1 in FR"},
		{"a string", "tier", "gold", `string gold ERROR GENERAL: the value of tier in FR` + is + `(one-of ["gold", "silver"]), and is withheld`, `tier "bronze" in FR`},
		{"a value below, asked for as an object", "tier", []any{}, `[]interface {} [] ERROR GENERAL: the value of tier in FR` + is + `(one-of ["gold", "silver"]), and is withheld`, `tier "bronze" in FR, default of tier no value in FR`},
		{"an object, which has no value to compare", "structured", map[string]any{}, "map[string]interface {} map[] ERROR GENERAL: the value of structured in FR" + is + "(require true), and is withheld", "structured no value in FR, default of structured no value in FR"},
		{"a value and a default that are below", "retention-days", int64(30), "int64 30 ERROR GENERAL: the value of retention-days in FR" + is + "(at-most 7), and is withheld", "retention-days 90 in FR, default of retention-days 30 in FR"},
		{"no such flag", "absent", true, "bool true ERROR FLAG_NOT_FOUND: flag for key absent not found", ""},
		{"no such flag, and a default below", "absent", false, "bool false ERROR FLAG_NOT_FOUND: flag for key absent not found", "default of absent false in FR"},
		{"another type, and a default below", "mismatched", false, "bool false ERROR TYPE_MISMATCH: incorrect type association", "default of mismatched false in FR"},
		{"disabled: the default is what the source says", "disabled", true, "bool true DISABLED", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var reported breachLog
			guard := flags.NewGuard(guarantees, reported.add)
			asProvider := clientOf(t, guard.Provider(memprovider.NewInMemoryProvider(inner)))
			if got := evaluate(t, asProvider, test.flag, test.def, about("FR")); got != test.want {
				t.Errorf("as a provider: %s\nwant %s", got, test.want)
			}
			if got := reported.take(); got != test.reported {
				t.Errorf("the provider reports %q, want %q", got, test.reported)
			}

			asHook := clientOf(t, memprovider.NewInMemoryProvider(inner), guard.Hook())
			got := evaluate(t, asHook, test.flag, test.def, about("FR"))
			// go-sdk leaves the provider's reason, and has no code for what a hook fails with.
			if want, _, general := strings.Cut(test.want, " ERROR GENERAL: "); general {
				want += " STATIC : "
				if got != want {
					t.Errorf("as a hook: %s\nwant %s", got, want)
				}
			} else if got != test.want {
				t.Errorf("as a hook: %s\nwant %s", got, test.want)
			}
			if got := reported.take(); got != test.reported {
				t.Errorf("the hook reports %q, want %q", got, test.reported)
			}
		})
	}
}

func TestTheErrorOfTheHookIsTheBreach(t *testing.T) {
	p := parse(t, guaranteed)
	c := clientOf(t, memprovider.NewInMemoryProvider(fixed(map[string]any{e2ee: false})), flags.GuardOf(p, nil).Hook())
	got, err := c.BooleanValue(t.Context(), e2ee, true, about("FR"))
	var breach *flags.Breach
	if !errors.As(err, &breach) || !got {
		t.Fatalf("got %v, %v", got, err)
	}
	if want := "the value of end-to-end-encryption in FR is below what is guaranteed (require true), and is withheld"; breach.Error() != want {
		t.Errorf("got  %s\nwant %s", breach, want)
	}
	if breach.Default || breach.Jurisdiction != "FR" || breach.Value.Any() != false {
		t.Errorf("the breach is %+v", breach)
	}
}

func TestABreachNeverSaysItsValue(t *testing.T) {
	least := policy.Guarantee{OneOf: []policy.Value{}}
	for _, v := range []any{int64(123454321), 12345.4321, "s3cret"} {
		value, _ := policy.ValueOf(v)
		for _, b := range []*flags.Breach{
			{Flag: "f", Guarantee: least, Value: value},
			{Flag: "f", Guarantee: least, Value: value, Jurisdiction: "FR", Default: true},
		} {
			if strings.Contains(b.Error(), fmt.Sprint(v)) {
				t.Errorf("%v", b)
			}
		}
	}
	b := &flags.Breach{Flag: "f", Guarantee: least, Default: true}
	if want := "the default in the code of f is below what is guaranteed (one-of []), and is withheld"; b.Error() != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func TestTheGuardChecksValuesOfAnyType(t *testing.T) {
	guard := flags.GuardOf(parse(t, guaranteed), nil)
	for _, test := range []struct {
		flag  string
		value any
		holds bool
	}{
		{"retention-days", int64(7), true},
		{"retention-days", 7, true},
		{"retention-days", 7.0, true},
		{"retention-days", 7.5, false},
		{"retention-days", math.NaN(), false},
		{"retention-days", math.Inf(-1), true},
		{"retention-days", "7", false},
		{"retention-days", json.Number("7"), false},
		{"retention-days", uint8(7), false},
		{"retention-days", nil, false},
		{"retention-days", []any{7}, false},
		{"theme", []any{7}, true},
		{"theme", nil, true},
		{"unnamed", false, true},
	} {
		if err := guard.Check(test.flag, test.value, "FR"); (err == nil) != test.holds {
			t.Errorf("%s = %T %v: %v", test.flag, test.value, test.value, err)
		}
	}
}

// TestTheGuardedProviderStartsAndEndsLikeTheOneWithin whatever parts of
// OpenFeature's life cycle that has.
func TestTheGuardedProviderStartsAndEndsLikeTheOneWithin(t *testing.T) {
	calls := func(p openfeature.FeatureProvider, events chan openfeature.Event) []string {
		var seen []string
		api := isolated.NewAPI()
		changed := make(chan struct{}, 1)
		callback := func(openfeature.EventDetails) { changed <- struct{}{} }
		api.AddHandler(openfeature.ProviderConfigChange, &callback)
		if err := api.SetProviderAndWait(t.Context(), p); err != nil {
			seen = append(seen, err.Error())
		}
		if events != nil {
			events <- openfeature.Event{EventType: openfeature.ProviderConfigChange}
			<-changed
			seen = append(seen, "event")
		}
		api.NewClient().Track(t.Context(), "signed-up", about("FR"), openfeature.NewTrackingEventDetails(1))
		if err := api.Shutdown(t.Context()); err != nil {
			seen = append(seen, err.Error())
		}
		return seen
	}
	plain := newSource("plain")
	events := make(chan openfeature.Event, 1)
	for _, test := range []struct {
		name     string
		provider func(*calledBack) openfeature.FeatureProvider
		events   chan openfeature.Event
		want     string
	}{
		{"nothing", func(*calledBack) openfeature.FeatureProvider { return onlyFlags{plain} }, nil, "[] []"},
		{"events", func(*calledBack) openfeature.FeatureProvider { return withEvents{onlyFlags{plain}, events} }, events, "[event] []"},
		{"start and end", func(c *calledBack) openfeature.FeatureProvider {
			return struct {
				onlyFlags
				*calledBack
			}{onlyFlags{plain}, c}
		}, nil, "[] [Init Shutdown]"},
		{"start and end with a context", func(c *calledBack) openfeature.FeatureProvider {
			return struct {
				onlyFlags
				calledBackWithContext
			}{onlyFlags{plain}, calledBackWithContext{c}}
		}, nil, "[stop failed] [InitWithContext ShutdownWithContext]"},
		{"all of it", func(c *calledBack) openfeature.FeatureProvider {
			return struct {
				withEvents
				calledBackWithContext
			}{withEvents{onlyFlags{plain}, events}, calledBackWithContext{c}}
		}, events, "[event stop failed] [InitWithContext ShutdownWithContext]"},
		{"tracking", func(c *calledBack) openfeature.FeatureProvider {
			return struct {
				onlyFlags
				tracked
			}{onlyFlags{plain}, tracked{c}}
		}, nil, "[] [Track signed-up]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &calledBack{}
			guarded := flags.GuardOf(parse(t, guaranteed), nil).Provider(test.provider(c))
			seen := calls(guarded, test.events)
			for i := range seen {
				seen[i] = strings.TrimSpace(seen[i][strings.LastIndex(seen[i], ":")+1:]) // without go-sdk's own words
			}
			if got := fmt.Sprint(seen, c.calls); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if got := guarded.Metadata().Name; got != "plain" {
				t.Errorf("its name is %q", got)
			}
		})
	}
}

// onlyFlags hides all of a provider but its flags.
type onlyFlags struct{ openfeature.FeatureProvider }

type withEvents struct {
	onlyFlags
	events chan openfeature.Event
}

func (e withEvents) EventChannel() <-chan openfeature.Event { return e.events }

type calledBack struct{ calls []string }

func (c *calledBack) Init(openfeature.EvaluationContext) error {
	c.calls = append(c.calls, "Init")
	return nil
}

func (c *calledBack) Shutdown() { c.calls = append(c.calls, "Shutdown") }

type calledBackWithContext struct{ *calledBack }

func (c calledBackWithContext) InitWithContext(context.Context, openfeature.EvaluationContext) error {
	c.calls = append(c.calls, "InitWithContext")
	return nil
}

func (c calledBackWithContext) ShutdownWithContext(context.Context) error {
	c.calls = append(c.calls, "ShutdownWithContext")
	return errors.New("stop failed")
}

type tracked struct{ to *calledBack }

func (c tracked) Track(_ context.Context, event string, _ openfeature.EvaluationContext, _ openfeature.TrackingEventDetails) {
	c.to.calls = append(c.to.calls, "Track "+event)
}

// TestAProviderMayBeAnyStruct as go-sdk compares providers, and functions are
// equal to nothing.
func TestAProviderMayBeAnyStruct(t *testing.T) {
	provider := struct {
		onlyFlags
		log func()
	}{onlyFlags{memprovider.NewInMemoryProvider(fixed(map[string]any{e2ee: false}))}, func() {}}
	c := clientOf(t, flags.GuardOf(parse(t, guaranteed), nil).Provider(provider))
	if got := evaluate(t, c, e2ee, true, about("")); got != "bool true ERROR GENERAL: the value of end-to-end-encryption is below what is guaranteed (require true), and is withheld" {
		t.Error(got)
	}
}
