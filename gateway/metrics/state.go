package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/policy"
)

// A State is what the gateway works with at one moment.
type State struct {
	Snapshot *policy.Snapshot
	// PolicyFailed says that the newest policy is wrong and that Snapshot is
	// of an older one.
	PolicyFailed bool
	Databases    []Database
	Certificates map[string]time.Time // when they end, by host
	Flags        Flags
	Ledger       *Ledger // nil: the policy comes from a file
}

// A Ledger is how well the ledger is followed, and what waits in it.
type Ledger struct {
	Connected    bool
	Pending      int         // changes that wait for approvals
	SignatureDue []time.Time // until when emergencies are to be signed, ascending
}

// Flags are how the gateway knows of flags.
type Flags struct {
	LastSuccess map[string]time.Time // by provider
	NotAccepted int                  // answers that were not accepted, by flag and jurisdiction
	Breaches    []Breach             // that nobody has acknowledged
}

// A Breach is a guarantee that a flag was below.
type Breach struct {
	Jurisdiction policy.Code
	Flag         string
}

// A Database is a geo database in use.
type Database struct {
	Name     string
	Build    time.Time
	Embedded bool
}

// RegisterState registers the metrics of the gateway's state. They are asked for
// when they are scraped, so that a scrape never sees half of a change.
func RegisterState(registry prometheus.Registerer, state func() State) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("exitgate_"+name, help, labels, nil)
	}
	registry.MustRegister(&stateCollector{
		state:          state,
		policyInfo:     desc("policy_info", "1 for the policy in use.", "sha256", "mode"),
		policyHealthy:  desc("policy_last_apply_successful", "0 if the newest policy could not be applied and an older one is in use."),
		phase:          desc("jurisdiction_phase", "1 for the phase that a jurisdiction of the policy is in.", "jurisdiction", "phase"),
		nextTransition: desc("next_transition_timestamp_seconds", "When the next scheduled change of a phase is due, 0 if none is."),
		build:          desc("geo_database_build_timestamp_seconds", "When a geo database in use was built.", "database"),
		embedded:       desc("geo_database_embedded", "1 if clients are located by the embedded database, which is meant for trying out."),
		flagsSuccess:   desc("flags_last_success_timestamp_seconds", "When a flag provider last answered for all jurisdictions, 0 for never.", "provider"),
		flagsRefused:   desc("flags_not_accepted", "Flags by jurisdiction whose newest answer was not accepted, so that an older value stays."),
		breached:       desc("guarantee_breached", "1 for a flag that was below its guarantee, by which a jurisdiction is withheld until a policy revision acknowledges it.", "jurisdiction", "flag"),
		ledger:         desc("ledger_connected", "1 if the ledger can be reached; 0 if the gateway goes by what it last knew."),
		pending:        desc("changes_pending", "Changes of the policy that wait for approvals."),
		unsigned:       desc("emergencies_unsigned", "Emergency withdrawals that nobody has signed besides who made them."),
		signBy:         desc("emergency_signature_due_timestamp_seconds", "Until when the first of the emergency withdrawals is to be signed, 0 if there is none."),
		certificates:   desc("certificate_expiry_timestamp_seconds", "When a certificate ends.", "host"),
	})
}

type stateCollector struct {
	state func() State
	policyInfo, policyHealthy, phase, nextTransition,
	flagsSuccess, flagsRefused, breached,
	ledger, pending, unsigned, signBy,
	build, embedded, certificates *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.policyInfo, c.policyHealthy, c.phase, c.nextTransition, c.flagsSuccess, c.flagsRefused, c.breached, c.ledger, c.pending, c.unsigned, c.signBy, c.build, c.embedded, c.certificates} {
		descriptions <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	state := c.state()
	p := state.Snapshot.Policy()
	gauge(c.policyInfo, 1, p.Digest(), string(p.Mode()))
	gauge(c.policyHealthy, boolean(!state.PolicyFailed))
	gauge(c.nextTransition, seconds(state.Snapshot.Until()))
	for _, market := range state.Snapshot.Markets() {
		for _, phase := range policy.Phases() {
			gauge(c.phase, boolean(phase == market.Phase), string(market.Jurisdiction), phase.String())
		}
	}
	for provider, last := range state.Flags.LastSuccess {
		gauge(c.flagsSuccess, seconds(last), provider)
	}
	gauge(c.flagsRefused, float64(state.Flags.NotAccepted))
	for _, b := range state.Flags.Breaches {
		gauge(c.breached, 1, string(b.Jurisdiction), b.Flag)
	}
	if l := state.Ledger; l != nil {
		gauge(c.ledger, boolean(l.Connected))
		gauge(c.pending, float64(l.Pending))
		gauge(c.unsigned, float64(len(l.SignatureDue)))
		var first time.Time
		if len(l.SignatureDue) > 0 {
			first = l.SignatureDue[0]
		}
		gauge(c.signBy, seconds(first))
	}
	embedded := false
	for _, d := range state.Databases {
		gauge(c.build, seconds(d.Build), d.Name)
		embedded = embedded || d.Embedded
	}
	gauge(c.embedded, boolean(embedded))
	for host, end := range state.Certificates {
		gauge(c.certificates, seconds(end), host)
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
