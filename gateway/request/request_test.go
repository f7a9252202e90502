package request

import (
	"errors"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/client"
	"github.com/exitgate/exitgate/policy"
)

func TestDecideOnFacts(t *testing.T) {
	h := newHandler(t, "version: 1\njurisdictions: {FR: closed-to-new}\nroutes: {sign-up: [POST /signup]}\n")
	const proxy, france = "127.0.0.1", "90.0.0.1"
	for name, test := range map[string]struct {
		facts    Facts
		rejected error
		action   policy.Action
	}{
		"served":          {facts: Facts{Method: "GET", Path: "/", Peer: netip.MustParseAddr(france)}, action: policy.Forward},
		"refused":         {facts: Facts{Method: "POST", Path: "/signup", Peer: netip.MustParseAddr(france)}, action: policy.Refuse},
		"for another":     {facts: Facts{Method: "POST", Path: "/signup", Peer: netip.MustParseAddr(proxy), Header: http.Header{"X-Forwarded-For": {france}}}, action: policy.Refuse},
		"another host":    {facts: Facts{Method: "GET", Host: "other.example", Path: "/"}, rejected: UnknownHost},
		"another method":  {facts: Facts{Method: "GET", Path: "/signup", Peer: netip.MustParseAddr(france), Header: http.Header{"X-Http-Method": {"post"}}}, rejected: AmbiguousMethod},
		"two paths":       {facts: Facts{Method: "POST", Path: "/x/../signup", Peer: netip.MustParseAddr(france)}, rejected: AmbiguousPath},
		"nobody's client": {facts: Facts{Method: "GET", Path: "/", Peer: netip.MustParseAddr(proxy), Header: http.Header{"X-Forwarded-For": {"garbage"}}}, rejected: client.Rejection("")},
	} {
		if test.facts.Host == "" {
			test.facts.Host = "app.example"
		}
		verdict, err := h.Decide(h.o.Policy(time.Now()), test.facts)
		var unknownClient client.Rejection
		switch {
		case test.rejected == client.Rejection("") && errors.As(err, &unknownClient):
		case err != test.rejected:
			t.Errorf("%s: rejected by %v, want %v", name, err, test.rejected)
		case err == nil && (verdict.Decision.Action != test.action || verdict.Client != netip.MustParseAddr(france)):
			t.Errorf("%s: %v of %s, want %v", name, verdict.Decision.Action, verdict.Client, test.action)
		}
	}
}
