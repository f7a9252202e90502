package policy_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/internal/policytest"
	"github.com/exitgate/exitgate/policy/plan"
)

func TestWhatClientsDecodeIsWhatWasSent(t *testing.T) {
	for _, folder := range []string{"good", "warn"} {
		policytest.EachFixture(t, "document/testdata/"+folder, func(t *testing.T, name, _ string, source []byte) {
			p := parse(t, string(source))
			policytest.OverJSON(t, p.Flags())
			policytest.OverJSON(t, p.Demands())
			policytest.OverJSON(t, document.Warnings(name, p, moment))
			policytest.OverJSON(t, plan.New(policy.OpenEverywhere(), p, nil, moment))
			policytest.OverJSON(t, plan.New(p, policy.OpenEverywhere(), nil, moment))
			for _, flags := range []policy.Flags{nil, p.OwnFlags(), restricting} {
				policytest.OverJSON(t, flags)
				s := policy.Compile(p, flags, moment)
				policytest.OverJSON(t, s.Markets())
				for _, place := range []string{"FR/FR-IDF/FR-75C", "US/US-MS anonymous", "RE", "CA", "IT", "unlocated", "private"} {
					x := s.Explain(from(place), "GET", "news.example.com", "/..%2f")
					x.Decision.ID = 0
					policytest.OverJSON(t, x)
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
		policytest.OverJSON(t, v)
	}
}

func TestEnumsOverJSON(t *testing.T) {
	for action := policy.Forward; action <= policy.WouldRefuse; action++ {
		policytest.OverJSON(t, action)
	}
	for reason := policy.ByDefault; reason <= policy.ByFlag; reason++ {
		policytest.OverJSON(t, reason)
	}
	for kind := policy.Boolean; kind <= policy.String; kind++ {
		policytest.OverJSON(t, kind)
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
