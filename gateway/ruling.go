package gateway

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/notice"
	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/policy"
)

// A ruling is a snapshot with all that its decisions entail, made once so that
// a request only looks it up. It is immutable but for next.
type ruling struct {
	snapshot *policy.Snapshot
	outcomes []outcome // by policy.Decision.ID
	notices  *notice.Book
	status   *notice.Status

	until int64                  // when the snapshot is over, Unix nanoseconds; 0: never
	next  atomic.Pointer[ruling] // the one that holds from then on, once it is made
}

// An outcome is what follows from a decision.
type outcome struct {
	count           prometheus.Counter
	toApp, toClient []proxy.Field
}

// rule compiles a policy for a moment.
func rule(p *policy.Policy, at time.Time, m *metrics.Metrics) (*ruling, error) {
	snapshot := policy.Compile(p, at)
	decisions := snapshot.Decisions()
	r := &ruling{snapshot: snapshot, outcomes: make([]outcome, len(decisions))}
	if until := snapshot.Until(); !until.IsZero() {
		r.until = until.UnixNano()
	}
	var refused []*policy.Decision
	for i := range decisions {
		d := &decisions[i]
		if d.Action == policy.Refuse {
			refused = append(refused, d)
		}
		r.outcomes[i] = outcome{
			count:    m.Decision(d),
			toApp:    []proxy.Field{{Name: "Market-Jurisdiction", Value: string(d.Jurisdiction)}, {Name: "Market-Phase", Value: d.Phase.String()}},
			toClient: announcement(d),
		}
	}
	var err error
	if r.notices, err = notice.Render(refused, p.Notice, policy.Name); err != nil {
		return nil, err
	}
	if r.status, err = notice.RenderStatus(markets(snapshot), policy.Name); err != nil {
		return nil, fmt.Errorf("market status: %w", err)
	}
	return r, nil
}

// markets returns what the public may know of a snapshot.
func markets(s *policy.Snapshot) []notice.Market {
	var all []notice.Market
	for _, m := range s.Markets() {
		public := notice.Market{Jurisdiction: m.Jurisdiction, Phase: m.Phase, Routes: m.Routes, Since: m.Since, Sunset: m.Sunset}
		for _, step := range m.Next {
			public.Schedule = append(public.Schedule, notice.Transition(step))
		}
		all = append(all, public)
	}
	return all
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
