package enforce

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/dunglas/httpsfv"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/notice"
	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/plan"
)

// A BlockedReason is what isn't known yet, so that nothing is served.
type BlockedReason string

// Why nothing is served. The texts are labels of a metric, and shown by the API.
const (
	PolicyUnknown BlockedReason = "policy-unknown"
	FlagsUnknown  BlockedReason = "flags-unknown"
)

func (r BlockedReason) Error() string { return string(r) }

// A Compiled is a policy with its flags, compiled for an interval of time, and
// all that its decisions entail, made once so that a request only looks it up.
// It is immutable but for next.
type Compiled struct {
	snapshot *policy.Snapshot
	flags    policy.Flags
	taken    policy.TakenSteps
	blocked  BlockedReason
	outcomes []Outcome // by policy.Decision.ID
	notices  *notice.Set
	status   statusCache

	until int64                    // when the snapshot is over, Unix nanoseconds; 0: never
	next  atomic.Pointer[Compiled] // the one that holds from then on, once it is made
}

// Snapshot returns the policy's snapshot.
func (c *Compiled) Snapshot() *policy.Snapshot { return c.snapshot }

// Blocked returns why nothing is served, "" if something is.
func (c *Compiled) Blocked() BlockedReason { return c.blocked }

// Outcome returns what follows from a decision of the snapshot.
func (c *Compiled) Outcome(d *policy.Decision) *Outcome { return &c.outcomes[d.ID] }

// Notices returns what refused clients receive.
func (c *Compiled) Notices() *notice.Set { return c.notices }

// MarketStatus returns what the public may know of the policy.
func (c *Compiled) MarketStatus() *notice.Status { return c.status.get(c.snapshot) }

// NextStep returns when something is next to change that may be told, as text: a time, or
// "changed". The dates of demands that may not be disclosed aren't among that.
func (c *Compiled) NextStep() string {
	next := c.snapshot.NextStep()
	if next.IsZero() {
		return "changed"
	}
	return next.Format(time.RFC3339)
}

// isOver reports whether it no longer holds.
func (c *Compiled) isOver(now time.Time) bool { return c.until != 0 && now.UnixNano() >= c.until }

// latestStep returns the date of the latest step that was taken, zero for none.
func (c *Compiled) latestStep() time.Time { return latestStep(c.taken) }

func latestStep(taken policy.TakenSteps) (latest time.Time) {
	for _, step := range taken {
		if step.From.After(latest) {
			latest = step.From
		}
	}
	return latest
}

// An Outcome is what follows from a decision.
type Outcome struct {
	decisions prometheus.Counter
	traffic   [2][2]*traffic.Counter // by whether the client hides where it is, and by unknownPart
	// depth is how many codes the decision's jurisdiction has: of a client whose next
	// one isn't known no more is known. 2 for whatever has no parts.
	depth    int
	toApp    []proxy.Field
	toClient []proxy.Field
}

// Count counts a request from a place.
func (o *Outcome) Count(place policy.Place) {
	o.decisions.Inc()
	hides, unknownPart := 0, 0
	if place.Anonymous {
		hides = 1
	}
	if o.depth < 2 && place.Subdivisions[o.depth] == "" {
		unknownPart = 1
	}
	o.traffic[hides][unknownPart].Inc()
}

// ToApp returns the header fields that tell the app of the client's market.
func (o *Outcome) ToApp() []proxy.Field { return o.toApp }

// ToClient returns the header fields that tell the client of an announced end.
func (o *Outcome) ToClient() []proxy.Field { return o.toClient }

// compile compiles a policy, with its flags, for a moment.
func compile(p *policy.Policy, flags policy.Flags, at time.Time, m *metrics.Metrics, counts *traffic.Counts, capability func() *policy.Capability) *Compiled {
	snapshot := policy.Compile(p, flags, at)
	decisions := snapshot.Decisions()
	c := &Compiled{snapshot: snapshot, flags: flags, taken: p.TakenAt(at), outcomes: make([]Outcome, len(decisions))}
	if until := snapshot.Until(); !until.IsZero() {
		c.until = until.UnixNano()
	}
	flagFields := make(map[policy.Code][]proxy.Field)
	var refused []*policy.Decision
	for i := range decisions {
		d := &decisions[i]
		if _, known := flagFields[d.Jurisdiction]; !known {
			flagFields[d.Jurisdiction] = flagField(snapshot.FlagsToApp(d.Jurisdiction))
		}
		if d.Action == policy.Refuse {
			refused = append(refused, d)
		}
		phase, toClient := d.Phase, notice.Announcement(d)
		if p.Mode() == policy.Observe { // neither the app nor a client is to notice
			phase, toClient = policy.Open, nil
		}
		c.outcomes[i] = Outcome{
			decisions: m.Decision(d),
			depth:     depth(d.Jurisdiction),
			toApp:     append(marketFields(d.Jurisdiction, phase), flagFields[d.Jurisdiction]...),
			toClient:  toClient,
		}
		o := &c.outcomes[i]
		for hides := range o.traffic {
			o.traffic[hides][0] = counts.Counter(trafficKey(d, hides == 1, false))
			if o.depth < 2 {
				o.traffic[hides][1] = counts.Counter(trafficKey(d, hides == 1, true))
			}
		}
	}
	c.notices = notice.NewSet(refused, p.Notice, snapshot.Cause, policy.Name)
	c.status.capability = capability
	return c
}

// depth returns how many codes a country, or a part of one, has; 2 for what has no
// parts.
func depth(jurisdiction policy.Code) int {
	switch place := policy.PlaceOf(jurisdiction); {
	case place.Country == "" || place.Subdivisions[1] != "":
		return 2
	case place.Subdivisions[0] != "":
		return 1
	}
	return 0
}

// trafficKey returns what the requests that a decision is made on are counted as.
func trafficKey(d *policy.Decision, anonymous, unknownPart bool) traffic.Key {
	return traffic.Key{
		Traffic: plan.Traffic{Jurisdiction: d.Jurisdiction, Class: d.Class, Anonymous: anonymous, UnknownPart: unknownPart},
		Entry:   d.Entry,
		Refused: d.Action == policy.Refuse,
	}
}

// marketFields returns the fields that tell an app of a client's market.
func marketFields(code policy.Code, phase policy.Phase) []proxy.Field {
	return []proxy.Field{{Name: "Market-Jurisdiction", Value: string(code)}, {Name: "Market-Phase", Value: phase.String()}}
}

// flagField returns the field that tells an app of flags: a dictionary (RFC
// 9651 section 3.2), none if there is no flag.
func flagField(flags []policy.FlagValue) []proxy.Field {
	if len(flags) == 0 {
		return nil
	}
	dictionary := httpsfv.NewDictionary()
	for _, flag := range flags {
		value := flag.Value.Any()
		if text, ok := value.(string); ok && !isPrintableASCII(text) {
			value = httpsfv.DisplayString(text) // a String can't hold it (section 3.3.3)
		}
		dictionary.Add(flag.Name, httpsfv.NewItem(value))
	}
	text, err := httpsfv.Marshal(dictionary)
	if err != nil {
		panic(err) // only what can be sent is a flag for apps
	}
	return []proxy.Field{{Name: "Market-Flags", Value: text}}
}

func isPrintableASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// A statusCache makes the public market status when it is first asked for, and
// again when the databases can tell other places apart.
type statusCache struct {
	capability func() *policy.Capability
	made       atomic.Pointer[madeStatus]
}

type madeStatus struct {
	status *notice.Status
	by     *policy.Capability
}

func (c *statusCache) get(s *policy.Snapshot) *notice.Status {
	by := c.capability()
	made := c.made.Load()
	if made == nil || made.by != by {
		made = &madeStatus{notice.NewStatus(s.Public(by), policy.Name), by}
		c.made.Store(made)
	}
	return made.status
}
