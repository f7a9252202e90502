package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
	"go.uber.org/goleak"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

func TestMain(m *testing.M) {
	// The SDK leaves these behind when it is closed before it was ready, or
	// soon after.
	const sdk = "github.com/launchdarkly/go-server-sdk/v7"
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction(sdk+".MakeCustomClient.func4"),
		goleak.IgnoreTopFunction(sdk+"/internal/datasource.(*outageTracker).awaitTimeout"))
}

var background = context.Background()

// every has a flag of each kind, and of each kind of trouble.
const every = `{
  "flags": {
    "on":         {"key": "on", "version": 1, "on": true, "variations": [false, true], "fallthrough": {"variation": 1}},
    "france":     {"key": "france", "version": 1, "on": true, "variations": ["everywhere else", "in France"], "fallthrough": {"variation": 0},
                   "rules": [{"clauses": [{"contextKind": "jurisdiction", "attribute": "country", "op": "in", "values": ["FR"]}], "variation": 1}]},
    "union":      {"key": "union", "version": 1, "on": true, "variations": ["no", "yes"], "fallthrough": {"variation": 0},
                   "rules": [{"clauses": [{"contextKind": "jurisdiction", "attribute": "groups", "op": "in", "values": ["EU"]}], "variation": 1}]},
    "vip":        {"key": "vip", "version": 1, "on": true, "variations": ["no", "yes"], "fallthrough": {"variation": 0},
                   "targets": [{"values": ["ana"], "variation": 1}]},
    "plan":       {"key": "plan", "version": 1, "on": true, "variations": ["no", "yes"], "fallthrough": {"variation": 0},
                   "rules": [{"clauses": [{"attribute": "plan", "op": "in", "values": ["gold"]}], "variation": 1}]},
    "off":        {"key": "off", "version": 1, "on": false, "variations": [true, false], "offVariation": 0, "fallthrough": {"variation": 0}},
    "off-bare":   {"key": "off-bare", "version": 1, "on": false, "variations": [true, false], "fallthrough": {"variation": 0}},
    "needs-off":  {"key": "needs-off", "version": 1, "on": true, "variations": [true, false], "offVariation": 1, "fallthrough": {"variation": 0},
                   "prerequisites": [{"key": "off", "variation": 0}]},
    "malformed":  {"key": "malformed", "version": 1, "on": true, "variations": [true], "fallthrough": {"variation": 7}},
    "by-user":    {"key": "by-user", "version": 1, "on": true, "salt": "t", "variations": [true, false],
                   "fallthrough": {"rollout": {"contextKind": "user", "variations": [{"variation": 0, "weight": 50000}, {"variation": 1, "weight": 50000}]}}},
    "by-country": {"key": "by-country", "version": 1, "on": true, "salt": "t", "variations": [true, false],
                   "fallthrough": {"rollout": {"contextKind": "jurisdiction", "variations": [{"variation": 0, "weight": 50000}, {"variation": 1, "weight": 50000}]}}},
    "integer":    {"key": "integer", "version": 1, "on": true, "variations": [3], "fallthrough": {"variation": 0}},
    "float":      {"key": "float", "version": 1, "on": true, "variations": [1.5], "fallthrough": {"variation": 0}},
    "huge":       {"key": "huge", "version": 1, "on": true, "variations": [9007199254740992], "fallthrough": {"variation": 0}},
    "object":     {"key": "object", "version": 1, "on": true, "variations": [{"a": [1, "b", true]}], "fallthrough": {"variation": 0}},
    "null":       {"key": "null", "version": 1, "on": true, "variations": [null], "fallthrough": {"variation": 0}}
  },
  "flagValues": {"value-of-a-file": true}
}`

func TestWhatLaunchDarklySays(t *testing.T) {
	p := start(t, every)
	in := func(country string, groups ...any) openfeature.FlattenedContext {
		return openfeature.FlattenedContext{"targetingKey": country, "jurisdiction": country, "country": country, "groups": groups}
	}
	user := openfeature.FlattenedContext{"targetingKey": "ana", "jurisdiction": "FR", "plan": "gold", "kind": "org", "key": "bob", "anonymous": 3}
	for _, c := range []struct {
		name    string
		flag    string
		def     any // its type is what is asked for
		context openfeature.FlattenedContext
		value   any
		reason  openfeature.Reason
		variant string
		code    openfeature.ErrorCode
	}{
		{name: "the value that all get", flag: "on", def: false, context: in("DE"), value: true, reason: "DEFAULT", variant: "1"},
		{name: "a rule about the country holds there", flag: "france", def: "", context: in("FR"), value: "in France", reason: "TARGETING_MATCH", variant: "1"},
		{name: "a rule about the country holds nowhere else", flag: "france", def: "", context: in("DE"), value: "everywhere else", reason: "DEFAULT", variant: "0"},
		{name: "a rule about the country knows no unlocated clients", flag: "france", def: "", context: openfeature.FlattenedContext{"targetingKey": "unlocated", "jurisdiction": "unlocated"}, value: "everywhere else", reason: "DEFAULT", variant: "0"},
		{name: "a rule about a group holds for its members", flag: "union", def: "", context: in("DE", "EEA", "EU"), value: "yes", reason: "TARGETING_MATCH", variant: "1"},
		{name: "a rule about a group holds for no others", flag: "union", def: "", context: in("US"), value: "no", reason: "DEFAULT", variant: "0"},
		{name: "a user is targeted by key, whatever attributes say", flag: "vip", def: "", context: user, value: "yes", reason: "TARGETING_MATCH", variant: "1"},
		{name: "a user is targeted by attribute", flag: "plan", def: "", context: user, value: "yes", reason: "TARGETING_MATCH", variant: "1"},
		{name: "a user is targeted without a jurisdiction", flag: "vip", def: "", context: openfeature.FlattenedContext{"targetingKey": "ana"}, value: "yes", reason: "TARGETING_MATCH", variant: "1"},

		{name: "an integer", flag: "integer", def: int64(0), context: in("DE"), value: int64(3), reason: "DEFAULT", variant: "0"},
		{name: "an integer is a float", flag: "integer", def: 0.0, context: in("DE"), value: 3.0, reason: "DEFAULT", variant: "0"},
		{name: "a float", flag: "float", def: 0.0, context: in("DE"), value: 1.5, reason: "DEFAULT", variant: "0"},
		{name: "a float is not cut down to an integer", flag: "float", def: int64(7), context: in("DE"), value: int64(7), reason: "ERROR", code: "TYPE_MISMATCH"},
		{name: "an integer that JSON doesn't carry exactly", flag: "huge", def: int64(7), context: in("DE"), value: int64(7), reason: "ERROR", code: "TYPE_MISMATCH"},
		{name: "an object", flag: "object", def: any(nil), context: in("DE"), value: map[string]any{"a": []any{1.0, "b", true}}, reason: "DEFAULT", variant: "0"},
		{name: "an object may be a boolean", flag: "on", def: any(nil), context: in("DE"), value: true, reason: "DEFAULT", variant: "1"},
		{name: "null is no value", flag: "null", def: any(nil), context: in("DE"), value: nil, reason: "ERROR", code: "TYPE_MISMATCH"},
		{name: "a string is no boolean", flag: "france", def: true, context: in("DE"), value: true, reason: "ERROR", code: "TYPE_MISMATCH"},
		{name: "a boolean is no string", flag: "on", def: "x", context: in("DE"), value: "x", reason: "ERROR", code: "TYPE_MISMATCH"},

		{name: "a flag that is turned off", flag: "off", def: false, context: in("DE"), value: true, reason: "DISABLED", variant: "0"},
		{name: "a flag that is turned off, without a value for that", flag: "off-bare", def: true, context: in("DE"), value: true, reason: "ERROR", code: "GENERAL"},
		{name: "a value alone, which the SDK makes a flag that is turned off", flag: "value-of-a-file", def: false, context: in("DE"), value: true, reason: "DISABLED", variant: "0"},
		{name: "a flag that needs one that is turned off", flag: "needs-off", def: true, context: in("DE"), value: false, reason: "DISABLED", variant: "1"},
		{name: "no such flag", flag: "absent", def: true, context: in("DE"), value: true, reason: "ERROR", code: "FLAG_NOT_FOUND"},
		{name: "a flag that contradicts itself", flag: "malformed", def: true, context: in("DE"), value: true, reason: "ERROR", code: "PARSE_ERROR"},
		{name: "nobody is asked for", flag: "on", def: false, context: openfeature.FlattenedContext{"jurisdiction": "FR"}, value: false, reason: "ERROR", code: "TARGETING_KEY_MISSING"},
		{name: "no context", flag: "on", def: false, value: false, reason: "ERROR", code: "TARGETING_KEY_MISSING"},
	} {
		t.Run(c.name, func(t *testing.T) {
			value, d := ask(p, c.flag, c.def, c.context)
			if !reflect.DeepEqual(value, c.value) || d.Reason != c.reason || d.Variant != c.variant || d.ErrorCode != c.code {
				t.Errorf("got %#v %s %q %s (%s)", value, d.Reason, d.Variant, d.ErrorCode, d.ErrorMessage)
			}
		})
	}
}

func ask(p *provider, flag string, def any, c openfeature.FlattenedContext) (any, openfeature.ResolutionDetail) {
	switch def := def.(type) {
	case bool:
		d := p.BooleanEvaluation(background, flag, def, c)
		return d.Value, d.ResolutionDetail()
	case string:
		d := p.StringEvaluation(background, flag, def, c)
		return d.Value, d.ResolutionDetail()
	case float64:
		d := p.FloatEvaluation(background, flag, def, c)
		return d.Value, d.ResolutionDetail()
	case int64:
		d := p.IntEvaluation(background, flag, def, c)
		return d.Value, d.ResolutionDetail()
	}
	d := p.ObjectEvaluation(background, flag, def, c)
	return d.Value, d.ResolutionDetail()
}

func TestTheGatewaySeesWhatDiffersBetweenUsers(t *testing.T) {
	p := start(t, every)
	document, err := document.Parse("policy.yaml", []byte("version: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	for flag, differs := range map[string]bool{"by-user": true, "by-country": false} {
		var values []bool
		for _, c := range flags.Contexts(document, policy.Place{Country: "FR"}) {
			values = append(values, p.BooleanEvaluation(background, flag, false, c).Value)
		}
		if got := slices.Contains(values, true) && slices.Contains(values, false); got != differs {
			t.Errorf("%s is %v for the probes", flag, values)
		}
	}
}

func TestItSaysWhenFlagsChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flags.json")
	write := func(text string) {
		if err := os.WriteFile(file+".next", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".next", file); err != nil {
			t.Fatal(err)
		}
	}
	flag := func(version, variation int) string {
		return fmt.Sprintf(`{"flags": {"a": {"key": "a", "version": %d, "on": true, "variations": [1, 2], "fallthrough": {"variation": %d}}}}`, version, variation)
	}
	write(flag(1, 0))
	p := connected(t, file)
	if err := p.Init(openfeature.EvaluationContext{}); err != nil {
		t.Fatal(err)
	}
	valueIs := func(want int64) {
		t.Helper()
		if d := p.IntEvaluation(background, "a", 0, someone); d.Error() != nil || d.Value != want {
			t.Errorf("the flag is %d (%v), not %d", d.Value, d.Error(), want)
		}
	}
	valueIs(1)

	write(flag(2, 1))
	if e := await(t, p, openfeature.ProviderConfigChange); !slices.Equal(e.FlagChanges, []string{"a"}) {
		t.Errorf("%v changed, not a", e.FlagChanges)
	}
	valueIs(2)

	write(`{"flags": {"a": {"key": `)
	await(t, p, openfeature.ProviderStale)
	valueIs(2)

	write(flag(3, 0))
	await(t, p, openfeature.ProviderReady)
	valueIs(1)
}

func TestWithoutFlagsItIsNotReady(t *testing.T) {
	t.Parallel() // Init is patient
	p := connected(t, filepath.Join(t.TempDir(), "flags.json"))
	d := p.BooleanEvaluation(background, "a", true, someone)
	if code := d.ResolutionDetail().ErrorCode; code != openfeature.ProviderNotReadyCode || d.Reason != openfeature.ErrorReason {
		t.Errorf("got %s, reason %s", code, d.Reason)
	}
	if err := p.Init(openfeature.EvaluationContext{}); err == nil {
		t.Error("it claims to be ready")
	}
}

func TestEventsThatNobodyTakesHoldNothingUp(t *testing.T) {
	p := start(t, every)
	for i := range 100 {
		p.emit(openfeature.ProviderConfigChange, openfeature.ProviderEventDetails{Message: fmt.Sprint(i)})
	}
	for last := false; !last; {
		last = (<-p.EventChannel()).Message == "99"
	}
}

func TestTheKeyOfTheSDKIsAskedFor(t *testing.T) {
	t.Setenv("LAUNCHDARKLY_SDK_KEY", "")
	if _, err := connect("", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "LAUNCHDARKLY_SDK_KEY") {
		t.Errorf("got %v", err)
	}
}

func TestTheLogSaysNothingOfUsers(t *testing.T) {
	var log bytes.Buffer
	file := filepath.Join(t.TempDir(), "flags.json")
	if err := os.WriteFile(file, []byte(every), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := connect(file, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	p := newProvider(client)
	for _, flag := range []string{"on", "absent", "malformed"} {
		p.BooleanEvaluation(background, flag, false, openfeature.FlattenedContext{"targetingKey": "ana-the-user", "email": "ana-the-user@example.org", "jurisdiction": "not a place/ana-the-user"})
	}
	p.Shutdown()
	if strings.Contains(log.String(), "ana-the-user") {
		t.Errorf("the log quotes a context:\n%s", log.String())
	}
}

var someone = openfeature.FlattenedContext{"targetingKey": "FR", "jurisdiction": "FR"}

// start returns a provider that is ready, with the flags of a file.
func start(t *testing.T, text string) *provider {
	t.Helper()
	file := filepath.Join(t.TempDir(), "flags.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := connected(t, file)
	if err := p.Init(openfeature.EvaluationContext{}); err != nil {
		t.Fatal(err)
	}
	return p
}

func connected(t *testing.T, file string) *provider {
	t.Helper()
	client, err := connect(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p := newProvider(client)
	t.Cleanup(p.Shutdown)
	return p
}

// await returns the next event of a kind.
func await(t *testing.T, p *provider, kind openfeature.EventType) openfeature.Event {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case e := <-p.EventChannel():
			if e.EventType == kind {
				return e
			}
		case <-deadline:
			t.Fatalf("there was no %s", kind)
		}
	}
}
