package policy

import (
	"fmt"
	"strings"
	"time"
)

// Approvals say how many others must approve a change of the policy before it
// comes into force, by what it does. What a policy doesn't say needs no approval.
type Approvals struct {
	Open            int           `yaml:"open" doc:"For a change by which somebody gets more than before: 0 to 10."`
	Withdraw        int           `yaml:"withdraw" doc:"For one by which somebody gets less. In an emergency one person can withdraw at once, and another signs afterwards."`
	WeakenGuarantee int           `yaml:"weaken-guarantee" doc:"For one by which a flag may have a value that it could not have."`
	WeakenDemand    int           `yaml:"weaken-demand" doc:"For one that takes a demand back a stage, or makes it bind less."`
	Acknowledge     int           `yaml:"acknowledge" doc:"For one that acknowledges the breach of a guarantee."`
	Other           int           `yaml:"other" doc:"For any other. One that lowers a count here needs as many as the highest of them."`
	Expire          time.Duration `yaml:"expire" default:"72h" doc:"How long a change waits for its approvals: 1m to 2160h."`
}

const (
	mostApprovals  = 10
	usualExpiry    = 72 * time.Hour
	shortestExpiry = time.Minute
	longestExpiry  = 90 * 24 * time.Hour
)

// Approvals returns the rules by which changes of the policy are approved.
func (p *Policy) Approvals() Approvals { return p.approvals }

// counts returns the counts by their names in the document.
func (a Approvals) counts() map[string]int {
	return map[string]int{
		"open": a.Open, "withdraw": a.Withdraw, "weaken-guarantee": a.WeakenGuarantee,
		"weaken-demand": a.WeakenDemand, "acknowledge": a.Acknowledge, "other": a.Other,
	}
}

// addApprovals checks how changes are approved.
func (p *builder) addApprovals() {
	a := p.def.Approvals
	for effect, n := range a.counts() {
		if n < 0 || n > mostApprovals {
			p.errorf(fmt.Sprintf("ask for 0 to %d", mostApprovals), at("approvals", effect), "%s can't need %d approvals", effect, n)
		}
	}
	if a.Expire < shortestExpiry || a.Expire > longestExpiry {
		p.errorf("give a time from 1m to 2160h, which is 90 days", at("approvals", "expire"), "a change can't wait %s for its approvals", a.FormatExpire())
	}
	p.policy.approvals = a
}

// FormatExpire returns Expire without the zeros at its end: 72h, not 72h0m0s.
func (a Approvals) FormatExpire() string { return formatDuration(a.Expire) }

func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
