// Package metrics holds every metric of the gateway, on a registry that is
// passed in. Labels come from closed sets; none of them ever holds an address
// of a client.
package metrics

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/exitgate/exitgate/policy"
)

// Metrics are the collectors. All methods may be called concurrently.
type Metrics struct {
	decisions        *prometheus.CounterVec
	rejections       *prometheus.CounterVec
	duration         *prometheus.HistogramVec
	lookups          *prometheus.CounterVec
	databaseFailures *prometheus.CounterVec
	policyRevision   prometheus.Gauge
	policyApplied    prometheus.Gauge
	policyFailures   prometheus.Counter
	certFailures     prometheus.Counter
	transitions      prometheus.Counter
	connections      *prometheus.GaugeVec
	handshakes       prometheus.Counter
	panics           prometheus.Counter
	upstreams        *prometheus.CounterVec
	breaches         *prometheus.CounterVec
	recordsRefused   prometheus.Counter
	authFailures     prometheus.Counter
}

// New makes the collectors and registers them, with those of the process and
// the Go runtime.
func New(registry prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "exitgate", Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "exitgate", Name: name, Help: help}, labels)
	}
	decisions := counter("decisions_total", "Requests decided.", "jurisdiction", "phase", "action", "reason")
	rejections := counter("requests_rejected_total", "Requests refused before any decision, as they were malformed or could be read two ways.", "reason")
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "exitgate", Name: "request_duration_seconds",
		Help:                            "Time from a request's header to the end of its answer.",
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{"action"})
	lookups := counter("geo_lookups_total", "Clients located, by result: located, unlocated, private.", "result")
	databaseFailures := counter("geo_database_reload_failures_total", "Changed geo databases that were not taken into use.", "database")
	policyRevision := gauge("policy_revision", "Number of the revision in use; of a policy file, how many were applied since the start.")
	policyApplied := gauge("policy_apply_timestamp_seconds", "When the policy in use was applied.")
	policyFailures := counter("policy_apply_failures_total", "Policies that were not applied, as something is wrong with them.")
	certFailures := counter("certificate_reload_failures_total", "Changed certificates that were not taken into use.")
	transitions := counter("transitions_total", "Times that scheduled changes of phases took place.")
	connections := gauge("connections_active", "Connections of clients.", "protocol")
	handshakes := counter("tls_handshake_errors_total", "TLS handshakes of clients that failed.")
	panics := counter("panics_total", "Requests that ended in a panic of the gateway: bugs.")
	upstreams := counter("upstream_requests_total", "Requests forwarded, by upstream and status code; code 0 if there was no answer.", "upstream", "code")
	breaches := counter("guarantee_breaches_total", "Values of flags below a guarantee that were withheld, for a whole jurisdiction or for one user.", "jurisdiction", "flag")
	recordsRefused := counter("ledger_records_refused_total", "Messages in the ledger that were not believed: changed, forged or damaged ones.")
	authFailures := counter("admin_authentication_failures_total", "Requests to the admin API by nobody whom it knows.")
	info := gauge("build_info", "1, with the version of the gateway.", "version", "goversion")

	registry.MustRegister(decisions, rejections, duration, lookups, databaseFailures,
		policyRevision, policyApplied, policyFailures, certFailures, transitions, connections, handshakes, panics, upstreams, breaches, recordsRefused, authFailures, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	info.WithLabelValues(Version(), runtime.Version()).Set(1)
	return &Metrics{
		decisions: decisions, rejections: rejections, duration: duration, lookups: lookups,
		databaseFailures: databaseFailures,
		policyRevision:   policyRevision.WithLabelValues(), policyApplied: policyApplied.WithLabelValues(),
		policyFailures: policyFailures.WithLabelValues(), certFailures: certFailures.WithLabelValues(), transitions: transitions.WithLabelValues(),
		connections: connections, handshakes: handshakes.WithLabelValues(), panics: panics.WithLabelValues(),
		upstreams: upstreams, breaches: breaches,
		recordsRefused: recordsRefused.WithLabelValues(), authFailures: authFailures.WithLabelValues(),
	}
}

// Version is that of this gateway.
func Version() string {
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" {
		return build.Main.Version
	}
	return "(devel)"
}

// Decision returns the counter of a decision. Resolve it when the policy is
// compiled; to count is then an atomic addition.
func (m *Metrics) Decision(d *policy.Decision) prometheus.Counter {
	return m.decisions.WithLabelValues(string(d.Jurisdiction), d.Phase.String(), d.Action.String(), d.Reason.String())
}

// Rejected counts a request that was refused before any decision.
func (m *Metrics) Rejected(reason string) { m.rejections.WithLabelValues(reason).Inc() }

// InitRejection shows the rejections for a reason from 0.
func (m *Metrics) InitRejection(reason string) { m.rejections.WithLabelValues(reason) }

// Duration returns the histogram of requests with an action, in seconds.
func (m *Metrics) Duration(a policy.Action) prometheus.Observer {
	return m.duration.WithLabelValues(a.String())
}

// Lookup returns the counter of look-ups with a result.
func (m *Metrics) Lookup(result string) prometheus.Counter { return m.lookups.WithLabelValues(result) }

// InitDatabase shows a geo database's failures from 0.
func (m *Metrics) InitDatabase(name string) { m.databaseFailures.WithLabelValues(name) }

// DatabaseFailed counts a changed geo database that was not taken into use.
func (m *Metrics) DatabaseFailed(name string) { m.databaseFailures.WithLabelValues(name).Inc() }

// PolicyApplied shows which policy is in use, by its number, since when.
func (m *Metrics) PolicyApplied(at time.Time, number uint64) {
	m.policyRevision.Set(float64(number))
	m.policyApplied.Set(seconds(at))
}

// InvalidRecord counts a message in the ledger that isn't believed.
func (m *Metrics) InvalidRecord() { m.recordsRefused.Inc() }

// AuthenticationFailed counts somebody whom the admin API didn't let in.
func (m *Metrics) AuthenticationFailed() { m.authFailures.Inc() }

// PolicyFailed counts a policy that was not taken into use.
func (m *Metrics) PolicyFailed() { m.policyFailures.Inc() }

// CertificatesFailed counts certificates that were not taken into use.
func (m *Metrics) CertificatesFailed() { m.certFailures.Inc() }

// Transition counts that scheduled changes took place.
func (m *Metrics) Transition() { m.transitions.Inc() }

// Connections returns the gauge of connections that speak a protocol.
func (m *Metrics) Connections(protocol string) prometheus.Gauge {
	return m.connections.WithLabelValues(protocol)
}

// HandshakeFailed counts a TLS handshake that failed.
func (m *Metrics) HandshakeFailed() { m.handshakes.Inc() }

// Panicked counts a request that ended in a panic.
func (m *Metrics) Panicked() { m.panics.Inc() }

// Upstream counts a request that was forwarded. Codes that aren't HTTP's count
// as 0.
func (m *Metrics) Upstream(upstream string, code int) {
	m.upstreams.WithLabelValues(upstream, statusText(code)).Inc()
}

// Breached counts a flag's value below its guarantee. The jurisdiction is "" if
// it isn't known.
func (m *Metrics) Breached(jurisdiction policy.Code, flag string) {
	m.breaches.WithLabelValues(string(cmp.Or(jurisdiction, "unknown")), flag).Inc()
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// statusText is strconv.Itoa for status codes, as one of a closed set.
func statusText(code int) string {
	if code < 100 || code > 599 {
		return "0"
	}
	return string([]byte{byte('0' + code/100), byte('0' + code/10%10), byte('0' + code%10)})
}
