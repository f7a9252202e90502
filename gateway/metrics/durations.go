package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/policy"
)

// Durations are how long an app's requests took, by what was done with them and
// the class of the status that their client got. Its methods may be called
// concurrently.
type Durations [len(actions)][len(codeClasses)]func() prometheus.Observer

var (
	actions     = [...]policy.Action{policy.Forward, policy.Refuse, policy.WouldRefuse}
	codeClasses = [...]string{"0", "1xx", "2xx", "3xx", "4xx", "5xx"}
)

// Durations returns those of an app. What most requests come to is exported from
// 0 on, and failures, of which the first counts.
func (m *Metrics) Durations(app string) *Durations {
	d := new(Durations)
	for action := range d {
		for class := range d[action] {
			d[action][class] = sync.OnceValue(func() prometheus.Observer {
				return m.duration.WithLabelValues(actions[action].String(), app, codeClasses[class])
			})
		}
	}
	for _, class := range []int{2, 5} {
		d[policy.Forward][class]()
	}
	d[policy.Refuse][4]()
	return d
}

// Observe counts a request that was answered with a status after so many seconds.
// 0 is no answer, 101 a connection that became a WebSocket's.
func (d *Durations) Observe(action policy.Action, status int, seconds float64) {
	class := status / 100
	if class < 0 || class >= len(codeClasses) {
		class = 0
	}
	d[action][class]().Observe(seconds)
}
