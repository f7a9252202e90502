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
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/exitgate/exitgate/policy"
)

const namespace = "exitgate"

// Metrics are those that are counted when something happens; [RegisterState] has
// those of the gateway's state. All methods may be called concurrently.
type Metrics struct {
	PolicyFailures         prometheus.Counter
	CertificateFailures    prometheus.Counter
	ObtainFailures         prometheus.Counter
	Severed                prometheus.Counter
	ForwardedWithdrawn     prometheus.Counter
	CredentialFailures     prometheus.Counter
	Transitions            prometheus.Counter
	HandshakeErrors        prometheus.Counter
	ConnectionErrors       prometheus.Counter
	HeadersIgnored         prometheus.Counter // forwarding headers of senders that aren't trusted
	CacheKeysOther         prometheus.Counter // requests whose cache has the client elsewhere
	Panics                 prometheus.Counter
	InvalidRecords         prometheus.Counter
	AuthenticationFailures prometheus.Counter
	AccessLogLost          prometheus.Counter

	decisions        *prometheus.CounterVec
	rejections       *prometheus.CounterVec
	duration         *prometheus.HistogramVec
	lookups          *prometheus.CounterVec
	databaseFailures *prometheus.CounterVec
	policyRevision   prometheus.Gauge
	policyApplied    prometheus.Gauge
	reloaded         prometheus.Gauge
	reloadedAt       prometheus.Gauge
	connections      *prometheus.GaugeVec
	upstreams        *prometheus.CounterVec
	breaches         *prometheus.CounterVec
	purges           *prometheus.CounterVec
	notifications    *prometheus.CounterVec
	notDropped       *prometheus.CounterVec
}

// New registers the metrics, with those of the process and of the Go runtime.
func New(registry prometheus.Registerer) *Metrics {
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	register := promauto.With(registry)
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return register.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	counter := func(name, help string) prometheus.Counter { return counters(name, help).WithLabelValues() }
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return register.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge { return gauges(name, help).WithLabelValues() }

	gauges("build_info", "1, with the version of the gateway.", "version", "goversion").WithLabelValues(Version(), runtime.Version()).Set(1)
	return &Metrics{
		decisions:  counters("decisions_total", "Requests decided.", "jurisdiction", "phase", "action", "reason"),
		rejections: counters("requests_rejected_total", "Requests rejected before any decision, as they were malformed or ambiguous.", "reason"),
		duration: register.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "request_duration_seconds",
			Help: "Time from a request's header to the end of its response.",
			// For a Prometheus that doesn't scrape native histograms, which is the default.
			Buckets:                         []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
		}, []string{"action", "app", "code"}),
		lookups:                counters("geo_lookups_total", "Clients located, by result: located, unlocated, private.", "result"),
		databaseFailures:       counters("geo_database_reload_failures_total", "Changed geo databases that were not taken into use.", "database"),
		policyRevision:         gauge("policy_revision", "Number of the revision in use; of a policy file, how many were applied since the start."),
		policyApplied:          gauge("policy_apply_timestamp_seconds", "When the policy in use was applied."),
		reloaded:               gauge("config_last_reload_successful", "0 if the settings that were read last could not be taken into use, and older ones are."),
		reloadedAt:             gauge("config_last_reload_success_timestamp_seconds", "When settings were last read that are in use: at the start, or on a reload."),
		PolicyFailures:         counter("policy_apply_failures_total", "Policies that were not applied, as something is wrong with them."),
		CredentialFailures:     counter("app_credentials_reload_failures_total", "Changed credentials for upstreams that were not taken into use."),
		CertificateFailures:    counter("certificate_reload_failures_total", "Changed certificates that were not taken into use."),
		Severed:                counter("connections_severed_total", "WebSockets, streams and bodies that were cut, as they would be refused now."),
		ForwardedWithdrawn:     counter("forwarded_withdrawn_total", "Requests of withdrawn markets that were forwarded and are not essential: bugs."),
		ObtainFailures:         counter("certificate_obtain_failures_total", "Certificates that could not be obtained or renewed when it was tried."),
		Transitions:            counter("transitions_total", "Times that scheduled changes of phases took place."),
		connections:            gauges("connections_active", "Connections of clients.", "protocol"),
		HandshakeErrors:        counter("tls_handshake_errors_total", "TLS handshakes of clients that failed."),
		ConnectionErrors:       counter("connection_errors_total", "Connections of clients that were closed, as what came on them is no valid HTTP."),
		HeadersIgnored:         counter("forwarding_headers_ignored_total", "Requests with forwarding headers from peers that are not trusted."),
		CacheKeysOther:         counter("cache_keys_other_total", "Requests of trusted proxies whose cache key names another place than the client's."),
		Panics:                 counter("panics_total", "Requests that ended in a panic of the gateway: bugs."),
		upstreams:              counters("upstream_requests_total", "Requests forwarded, by upstream and status code; code 0 if there was no response.", "upstream", "code"),
		breaches:               counters("guarantee_breaches_total", "Values of flags below a guarantee that were withheld, for a whole jurisdiction or for one user.", "jurisdiction", "flag"),
		notifications:          counters("notifications_total", "Attempts to tell a receiver of an event, by result: success, failure.", "receiver", "result"),
		notDropped:             counters("notifications_dropped_total", "Events that a receiver was never told of, as it took nothing for too long.", "receiver"),
		purges:                 counters("cache_purges_total", "Purges of the caches in front, by result: success, failure.", "result"),
		InvalidRecords:         counter("ledger_records_refused_total", "Messages in the ledger that aren't valid records: changed, forged or damaged ones."),
		AuthenticationFailures: counter("admin_authentication_failures_total", "Requests to the admin API whose sender could not be authenticated."),
		AccessLogLost:          counter("access_log_lines_lost_total", "Lines of the access log that were not written, as its disk is full or slow."),
	}
}

// Version returns the version of this gateway.
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

// Rejected counts a request that was rejected before any decision.
func (m *Metrics) Rejected(reason string) { m.rejections.WithLabelValues(reason).Inc() }

// InitRejection exports the rejections for a reason from 0 on.
func (m *Metrics) InitRejection(reason string) { m.rejections.WithLabelValues(reason) }

// Lookup returns the counter of look-ups with a result.
func (m *Metrics) Lookup(result string) prometheus.Counter { return m.lookups.WithLabelValues(result) }

// InitDatabase exports a geo database's failures from 0 on.
func (m *Metrics) InitDatabase(name string) { m.databaseFailures.WithLabelValues(name) }

// DatabaseFailed counts a changed geo database that was not taken into use.
func (m *Metrics) DatabaseFailed(name string) { m.databaseFailures.WithLabelValues(name).Inc() }

// PolicyApplied sets the number of the policy in use, and since when it is.
func (m *Metrics) PolicyApplied(at time.Time, number uint64) {
	m.policyRevision.Set(float64(number))
	m.policyApplied.Set(seconds(at))
}

// Reloaded sets whether the settings that were read are in use.
func (m *Metrics) Reloaded(at time.Time, err error) {
	m.reloaded.Set(boolean(err == nil))
	if err == nil {
		m.reloadedAt.Set(seconds(at))
	}
}

// Connections returns the gauge of connections that speak a protocol.
func (m *Metrics) Connections(protocol string) prometheus.Gauge {
	return m.connections.WithLabelValues(protocol)
}

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

// InitPurges exports the purges of caches from 0 on.
func (m *Metrics) InitPurges() {
	m.purges.WithLabelValues("success")
	m.purges.WithLabelValues("failure")
}

// Purged counts a purge of the caches, or an attempt that failed.
func (m *Metrics) Purged(err error) {
	result := "success"
	if err != nil {
		result = "failure"
	}
	m.purges.WithLabelValues(result).Inc()
}

// InitNotifications exports what a receiver is told from 0 on.
func (m *Metrics) InitNotifications(receiver string) {
	m.notifications.WithLabelValues(receiver, "success")
	m.notifications.WithLabelValues(receiver, "failure")
	m.notDropped.WithLabelValues(receiver)
}

// Notified counts an attempt to tell a receiver of an event.
func (m *Metrics) Notified(receiver string, err error) {
	result := "success"
	if err != nil {
		result = "failure"
	}
	m.notifications.WithLabelValues(receiver, result).Inc()
}

// NotificationDropped counts an event that a receiver is never told of.
func (m *Metrics) NotificationDropped(receiver string) { m.notDropped.WithLabelValues(receiver).Inc() }

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
