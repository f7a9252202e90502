package gateway

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/notice"
	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/policy"
)

// A ruling is a snapshot with all that its decisions entail, made once so that
// a request only looks it up. It is immutable but for next.
type ruling struct {
	snapshot *policy.Snapshot
	flags    policy.Flags
	waiting  rejection // what isn't known yet, so that nothing is served; "" for nothing
	outcomes []outcome // by policy.Decision.ID
	notices  *notice.Book
	status   func() *notice.Status // made when it is first asked for

	until int64                  // when the snapshot is over, Unix nanoseconds; 0: never
	next  atomic.Pointer[ruling] // the one that holds from then on, once it is made
}

// An outcome is what follows from a decision.
type outcome struct {
	count           prometheus.Counter
	traffic         [2]*traffic.Counter // the second of clients that hide where they are
	toApp, toClient []proxy.Field
}

// countOf counts a request from a place.
func (o *outcome) countOf(place policy.Place) {
	o.count.Inc()
	if place.Anonymous {
		o.traffic[1].Inc()
	} else {
		o.traffic[0].Inc()
	}
}

// rule compiles a policy, with its flags, for a moment. An error is about the policy's notices,
// and the same for all moments; the ruling is whole even so, with built-in ones:
// what is refused must be refused, whatever the client is told.
func rule(p *policy.Policy, flags policy.Flags, at time.Time, m *metrics.Metrics, counts *traffic.Counts) (*ruling, error) {
	snapshot := policy.Compile(p, flags, at)
	decisions := snapshot.Decisions()
	r := &ruling{snapshot: snapshot, flags: flags, outcomes: make([]outcome, len(decisions))}
	if until := snapshot.Until(); !until.IsZero() {
		r.until = until.UnixNano()
	}
	told := make(map[policy.Code][]proxy.Field)
	var refused []*policy.Decision
	for i := range decisions {
		d := &decisions[i]
		if _, known := told[d.Jurisdiction]; !known {
			told[d.Jurisdiction] = toldFlags(snapshot.FlagsToApp(d.Jurisdiction))
		}
		if d.Action == policy.Refuse {
			refused = append(refused, d)
		}
		r.outcomes[i] = outcome{
			count:    m.Decision(d),
			traffic:  [2]*traffic.Counter{counts.Counter(trafficOf(d, false)), counts.Counter(trafficOf(d, true))},
			toApp:    append(market(d.Jurisdiction, d.Phase), told[d.Jurisdiction]...),
			toClient: announcement(d),
		}
		if p.Mode() == policy.Observe { // neither the app nor a client is to notice
			r.outcomes[i].toApp, r.outcomes[i].toClient = append(market(d.Jurisdiction, policy.Open), told[d.Jurisdiction]...), nil
		}
	}
	tell := p.Notice
	wrong := notice.Check(p.Notices())
	if wrong != nil {
		tell = builtIn
	}
	r.notices = must(notice.Render(refused, tell, p.Cause, policy.Name))
	r.status = sync.OnceValue(func() *notice.Status { return must(notice.RenderStatus(markets(snapshot), policy.Name)) })
	return r, wrong
}

// trafficOf is what the requests that a decision is made on are counted as.
func trafficOf(d *policy.Decision, anonymous bool) traffic.Key {
	return traffic.Key{
		Traffic: policy.Traffic{Jurisdiction: d.Jurisdiction, Class: d.Class, Anonymous: anonymous},
		Entry:   d.Entry,
		Refused: d.Action == policy.Refuse,
	}
}

// builtIn is the notice of a policy that has none.
func builtIn(policy.Decision) policy.Notice { return policy.Notice{} }

// must is for what can't fail: its parts have been checked.
func must[T any](made T, err error) T {
	if err != nil {
		panic(err)
	}
	return made
}

// market returns the fields that tell an app of a client's market.
func market(code policy.Code, phase policy.Phase) []proxy.Field {
	return []proxy.Field{{Name: "Market-Jurisdiction", Value: string(code)}, {Name: "Market-Phase", Value: phase.String()}}
}

// markets returns what the public may know of a snapshot: nothing while the
// policy only observes.
func markets(s *policy.Snapshot) []notice.Market {
	if s.Policy().Mode() == policy.Observe {
		return nil
	}
	var all []notice.Market
	for _, m := range s.Markets() {
		public := notice.Market{Jurisdiction: m.Jurisdiction, Phase: m.Phase, Routes: m.Routes, Since: m.Since, Sunset: m.Sunset, Because: m.Because}
		for _, step := range m.Next {
			public.Schedule = append(public.Schedule, notice.Transition(step))
		}
		all = append(all, public)
	}
	return all
}

// methodOverrides are the fields by which frameworks (Rails, Laravel, Express
// and others with a module for it) let a request name another method than its
// own.
var methodOverrides = [...]string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// classify finds the class of a request, or why an app could see another one.
func (r *ruling) classify(req *http.Request, host, path string) (policy.Class, error) {
	class, ambiguous := r.snapshot.Classify(req.Method, host, path)
	if ambiguous {
		return class, errAmbiguousPath
	}
	for _, field := range methodOverrides {
		for _, method := range req.Header[field] {
			if other, _ := r.snapshot.Classify(strings.ToUpper(method), host, path); other != class {
				return class, errAmbiguousMethod
			}
		}
	}
	return class, nil
}

// over says whether the ruling no longer holds.
func (r *ruling) over(now time.Time) bool { return r.until != 0 && now.UnixNano() >= r.until }

// announcement returns the fields that tell clients of an end.
func announcement(d *policy.Decision) []proxy.Field {
	var fields []proxy.Field
	for _, f := range notice.Announcement(d) {
		fields = append(fields, proxy.Field(f))
	}
	return fields
}
