package policy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/plan"
)

// overJSON returns what a client has that decodes what it is sent, and fails
// unless that is the same.
func overJSON[T any](t interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}, sent T) T {
	t.Helper()
	text, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	var got T
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	same := cmp.Options{
		cmpopts.IgnoreUnexported(plan.Plan{}),
		cmp.Comparer(func(a, b policy.Value) bool { return a == b }),
	}
	if diff := cmp.Diff(sent, got, same); diff != "" {
		t.Fatalf("sent and got:\n%s\n%s", diff, text)
	}
	if again, err := json.Marshal(got); err != nil || !bytes.Equal(again, text) {
		t.Fatalf("sent again it is another text (%v):\n%s\n%s", err, text, again)
	}
	return got
}

func TestWhatClientsDecodeIsWhatWasSent(t *testing.T) {
	for _, folder := range []string{"good", "warn"} {
		eachFixture(t, folder, func(t *testing.T, name, _ string, source []byte) {
			p := parse(t, string(source))
			overJSON(t, p.Flags())
			overJSON(t, p.Demands())
			overJSON(t, p.Warnings())
			overJSON(t, plan.New(policy.OpenEverywhere(), p, nil, moment))
			overJSON(t, plan.New(p, policy.OpenEverywhere(), nil, moment))
			for _, flags := range []policy.Flags{nil, p.OwnFlags(), restricting} {
				overJSON(t, flags)
				s := policy.Compile(p, flags, moment)
				overJSON(t, s.Markets())
				for _, place := range []string{"FR/FR-IDF/FR-75C", "US/US-MS anonymous", "RE", "CA", "IT", "unlocated", "private"} {
					x := s.Explain(from(place), "GET", "news.example.com", "/..%2f")
					x.Decision.ID = 0
					overJSON(t, x)
				}
			}
		})
	}
}

// restricting are flags of all kinds, some of which withdraw.
var restricting = policy.Flags{
	"FR":             {Breached: map[string]time.Time{"end-to-end-encryption": moment}, Phase: policy.WindDown},
	"IT":             {Phase: policy.Announced},
	"US-MS":          {Values: map[string]policy.Value{"end-to-end-encryption": {}, "message-retention-days": valueOf(0)}},
	policy.Unlocated: {Values: map[string]policy.Value{"end-to-end-encryption": valueOf(true), "share": valueOf(3.0), "quota": valueOf(1e9)}},
	policy.Private:   {Values: map[string]policy.Value{"end-to-end-encryption": valueOf(false), "imprint": valueOf("<§ 5>\u2028")}},
}

func valueOf(of any) policy.Value {
	v, ok := policy.ValueOf(of)
	if !ok {
		panic(fmt.Sprintf("%T has no value", of))
	}
	return v
}

func TestProblemsPrintAsTheyWereSent(t *testing.T) {
	sources := map[string][]byte{
		"long-line.yaml":        []byte("version: 1\njurisdictions: {" + strings.Repeat("FR: wíthdrawn, ", 40) + "}\n"),
		"tab.yaml":              []byte("version: 1\nmode:\tobsérve\tx\n"),
		"unprintable.yaml":      []byte("version: \x80\xff\x01 1\n"),
		"begins-with-dots.yaml": []byte("… : 1\n"),
	}
	eachFixture(t, "bad", func(t *testing.T, name, _ string, source []byte) { sources[name] = source })
	for name, source := range sources {
		_, err := policy.Parse(name, source)
		var problems strictyaml.Errors
		if !errors.As(err, &problems) {
			t.Fatalf("%s: %v", name, err)
		}
		if got := overJSON(t, problems); got.Error() != err.Error() {
			t.Errorf("sent\n%v\ngot\n%v", err, got)
		}
	}
}

func TestAFloatIsNoIntegerOverJSON(t *testing.T) {
	for want, v := range map[string]policy.Value{
		"3":         valueOf(3),
		"3.0":       valueOf(3.0),
		"0.5":       valueOf(0.5),
		"1e+21":     valueOf(1e21),
		"1000000.0": valueOf(1e6),
		`"3"`:       valueOf("3"),
		"true":      valueOf(true),
		"null":      {},
	} {
		if text, err := json.Marshal(v); err != nil || string(text) != want {
			t.Errorf("%v is %s in JSON (%v), want %s", v, text, err, want)
		}
		overJSON(t, v)
	}
}

func TestNamesAreReadBack(t *testing.T) {
	for action := policy.Forward; action <= policy.WouldRefuse; action++ {
		overJSON(t, action)
	}
	for reason := policy.ByDefault; reason <= policy.ByFlag; reason++ {
		overJSON(t, reason)
	}
	for kind := policy.Boolean; kind <= policy.String; kind++ {
		overJSON(t, kind)
	}
	for want, read := range map[string]func([]byte) error{
		`"refused" is not an action`:          new(policy.Action).UnmarshalText,
		`"refused" is not a reason`:           new(policy.Reason).UnmarshalText,
		`"refused" is not the type of a flag`: new(policy.Kind).UnmarshalText,
		`"refused" is not a phase`:            new(policy.Phase).UnmarshalText,
	} {
		if err := read([]byte("refused")); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
