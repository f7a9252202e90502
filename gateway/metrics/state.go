package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/policy"
)

// A State is the gateway's at one moment.
type State struct {
	Snapshot *policy.Snapshot
	// PolicyFailed reports that the newest policy is invalid and that Snapshot
	// is of an older one.
	StepsKept    bool // the steps that were taken were read at the start, and are on disk
	PolicyFailed bool
	Databases    []Database
	Demands      []policy.DemandStatus // those that may be named
	Unenforced   []policy.Code         // jurisdictions that the databases can't find
	Doubts       map[string]bool       // why clients may not be located by their own addresses, and whether it holds
	Certificates map[string]time.Time  // when they end, by host; zero: there is none yet
	Flags        Flags
	Ledger       *Ledger             // nil: the policy comes from a file
	Purge        *Purge              // nil: nothing purges caches
	Untold       map[string]int      // events that wait to be told, by receiver
	UnderWay     map[policy.Code]int // exchanges, by the market that decides on them
}

// A Purge says whether the caches in front are to be purged, and no purge has
// succeeded.
type Purge struct{ Pending bool }

// A Ledger is whether the ledger is connected, and what is pending in it.
type Ledger struct {
	Connected    bool
	ClockOffset  time.Duration // ahead of the NATS servers
	Reserved     bool          // there is room that is given up for a withdrawal when the disk is full
	Differing    int           // records that the ledger has otherwise than the gateway's copy
	Format       int           // of records that all gateways read that are present; 0: not known
	Unknown      uint64        // records that only a newer gateway knows, skipped
	Unrecorded   int           // what took place and isn't in the ledger yet
	Pending      int           // changes that wait for approvals
	Expires      time.Time     // when the first of them does; zero: none waits
	SignatureDue []time.Time   // until when emergencies are to be signed, ascending
	TakenBack    int           // of them, those by which their author took one back, so that somebody gets more
}

// Flags are the state of the flags.
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
	Overdue  bool // too old for a market that is restricted
	Held     bool // one that isn't trusted yet is in its place
}

// RegisterState registers the metrics of the gateway's state. They are collected
// when they are scraped, all from one State, so that a scrape never sees half of
// a change.
func RegisterState(registry prometheus.Registerer, state func() State) {
	registry.MustRegister(&stateCollector{state, []stateMetric{
		{desc("policy_info", "1 for the policy in use.", "sha256", "mode"), func(s State, set set) {
			set(1, s.Snapshot.Policy().Digest(), string(s.Snapshot.Policy().Mode()))
		}},
		{desc("policy_last_apply_successful", "0 if the newest policy could not be applied and an older one is in use."), func(s State, set set) {
			set(boolean(!s.PolicyFailed))
		}},
		{desc("jurisdiction_phase", "1 for the phase that a jurisdiction of the policy is in.", "jurisdiction", "phase"), func(s State, set set) {
			for _, market := range s.Snapshot.Markets() {
				for _, phase := range policy.Phases() {
					set(boolean(phase == market.Phase), string(market.Jurisdiction), phase.String())
				}
			}
		}},
		{desc("jurisdiction_unenforced", "1 for a jurisdiction that the policy restricts and that the databases can't find: who is there is served as what is around it.", "jurisdiction"), func(s State, set set) {
			for _, code := range s.Unenforced {
				set(1, string(code))
			}
		}},
		{desc("demand_in_force_timestamp_seconds", "When a demand comes, or came, into force, and while it is suspended when it binds again: of several dates the first on which it breaks a guarantee. 0 if that isn't known.", "demand", "jurisdiction"), func(s State, set set) {
			for _, d := range s.Demands {
				if d.Outcome != policy.DemandOver && d.Kind != policy.Informal {
					set(seconds(d.Begins), d.Name, string(d.Jurisdiction))
				}
			}
		}},
		{desc("demand_unmet", "1 for a demand that doesn't bind yet, and if it did, something that is served would have to be withdrawn.", "demand", "jurisdiction", "stage"), func(s State, set set) {
			for _, d := range s.Demands {
				if d.Outcome != policy.DemandOver && d.Kind != policy.Informal {
					set(boolean(d.Outcome == policy.DemandUnmet), d.Name, string(d.Jurisdiction), string(d.Stage))
				}
			}
		}},
		{desc("next_transition_timestamp_seconds", "When the next scheduled change of a phase is due, 0 if none is."), func(s State, set set) {
			set(seconds(s.Snapshot.NextStep()))
		}},
		{desc("geo_database_build_timestamp_seconds", "When a geo database in use was built.", "database"), func(s State, set set) {
			for _, d := range s.Databases {
				set(seconds(d.Build), d.Name)
			}
		}},
		{desc("geo_database_embedded", "1 if clients are located by the embedded database, which is meant for trying out."), func(s State, set set) {
			set(boolean(slices.ContainsFunc(s.Databases, func(d Database) bool { return d.Embedded })))
		}},
		{desc("geo_database_held", "1 if the file has a database that lacks much of what the one in use has, so that clients get the stricter of both until somebody decides.", "database"), func(s State, set set) {
			for _, d := range s.Databases {
				set(boolean(d.Held), d.Name)
			}
		}},
		{desc("geo_database_overdue", "1 if it is older than geo.max-age, and a market is restricted.", "database"), func(s State, set set) {
			for _, d := range s.Databases {
				set(boolean(d.Overdue), d.Name)
			}
		}},
		{desc("flags_last_success_timestamp_seconds", "When a flag provider last answered for all jurisdictions, 0 for never.", "provider"), func(s State, set set) {
			for provider, last := range s.Flags.LastSuccess {
				set(seconds(last), provider)
			}
		}},
		{desc("flags_not_accepted", "Flags by jurisdiction whose newest answer was not accepted, so that an older value stays."), func(s State, set set) {
			set(float64(s.Flags.NotAccepted))
		}},
		{desc("guarantee_breached", "1 for a flag that was below its guarantee, by which a jurisdiction is withheld until a policy revision acknowledges it.", "jurisdiction", "flag"), func(s State, set set) {
			for _, b := range s.Flags.Breaches {
				set(1, string(b.Jurisdiction), b.Flag)
			}
		}},
		{desc("steps_kept", "1 if the steps of schedules that were taken were read at the start and are kept on disk; 0 if they were damaged, or can't be written."), func(s State, set set) {
			set(boolean(s.StepsKept))
		}},
		{desc("ledger_connected", "1 if the ledger can be reached; 0 if the gateway goes by what it last knew."), ofLedger(func(l *Ledger) float64 {
			return boolean(l.Connected)
		})},
		{desc("ledger_records_differing", "Records that the ledger has otherwise than the gateway's copy of them: one of the two was changed."), ofLedger(func(l *Ledger) float64 {
			return float64(l.Differing)
		})},
		{desc("ledger_format_lowest", "The newest format of records that all gateways read that are present, 0 if that isn't known: what needs a newer one can't be written."), ofLedger(func(l *Ledger) float64 {
			return float64(l.Format)
		})},
		{desc("ledger_records_unknown", "Records that were skipped, as only a newer exitgate knows them."), ofLedger(func(l *Ledger) float64 {
			return float64(l.Unknown)
		})},
		{desc("ledger_unrecorded", "Steps, breaches and acknowledgements that took place here and aren't in the ledger yet."), ofLedger(func(l *Ledger) float64 {
			return float64(l.Unrecorded)
		})},
		{desc("clock_offset_seconds", "How far this machine's clock is ahead of that of the NATS servers; 0 for a ledger in the process."), ofLedger(func(l *Ledger) float64 {
			return l.ClockOffset.Seconds()
		})},
		{desc("disk_reserve", "1 if room is reserved in the data folder; 0 if it was given up for a withdrawal, or the disk has no room for it."), ofLedger(func(l *Ledger) float64 {
			return boolean(l.Reserved)
		})},
		{desc("changes_pending", "Changes of the policy that wait for approvals."), ofLedger(func(l *Ledger) float64 {
			return float64(l.Pending)
		})},
		{desc("change_expiry_timestamp_seconds", "When the first of the changes that wait for approvals expires, 0 if none waits."), ofLedger(func(l *Ledger) float64 {
			return seconds(l.Expires)
		})},
		{desc("emergencies_unsigned", "Emergency withdrawals that nobody has signed besides who made them."), ofLedger(func(l *Ledger) float64 {
			return float64(len(l.SignatureDue))
		})},
		{desc("emergencies_taken_back_unsigned", "Emergency withdrawals that their author took back alone, so that the market is open again, and that nobody else has signed."), ofLedger(func(l *Ledger) float64 {
			return float64(l.TakenBack)
		})},
		{desc("emergency_signature_due_timestamp_seconds", "Until when the first of the emergency withdrawals is to be signed, 0 if there is none."), ofLedger(func(l *Ledger) float64 {
			if len(l.SignatureDue) == 0 {
				return 0
			}
			return seconds(l.SignatureDue[0])
		})},
		{desc("notifications_pending", "Events that wait to be told to a receiver.", "receiver"), func(s State, set set) {
			for receiver, n := range s.Untold {
				set(float64(n), receiver)
			}
		}},
		{desc("exchanges_active", "Exchanges that are under way, by the market that decides on them; those of markets with few of them together, as other.", "jurisdiction"), func(s State, set set) {
			few := 0
			for code, n := range s.UnderWay {
				if n < fewExchanges {
					few += n
					continue
				}
				set(float64(n), string(code))
			}
			set(float64(few), "other")
		}},
		{desc("cache_purge_pending", "1 if the caches in front may serve what is refused, as no purge has succeeded yet."), func(s State, set set) {
			if s.Purge != nil {
				set(boolean(s.Purge.Pending))
			}
		}},
		{desc("clients_doubtful", "1 if clients seem not to be located by their own addresses, by why.", "reason"), func(s State, set set) {
			for reason, holds := range s.Doubts {
				set(boolean(holds), reason)
			}
		}},
		{desc("certificate_expiry_timestamp_seconds", "When a certificate ends; 0 while none was obtained.", "host"), func(s State, set set) {
			for host, end := range s.Certificates {
				set(seconds(end), host)
			}
		}},
	}})
}

// fewExchanges is how many could single somebody out.
const fewExchanges = 10

// A stateMetric is a gauge and how its values follow from the state.
type stateMetric struct {
	desc    *prometheus.Desc
	collect func(State, set)
}

// set sets the value for labels.
type set func(value float64, labels ...string)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

// ofLedger collects one value if there is a ledger.
func ofLedger(value func(*Ledger) float64) func(State, set) {
	return func(s State, set set) {
		if s.Ledger != nil {
			set(value(s.Ledger))
		}
	}
}

type stateCollector struct {
	state   func() State
	metrics []stateMetric
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		descriptions <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(metrics chan<- prometheus.Metric) {
	state := c.state()
	for _, m := range c.metrics {
		m.collect(state, func(value float64, labels ...string) {
			metrics <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, value, labels...)
		})
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
