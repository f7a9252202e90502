package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Approvals say how many others must approve a change of the policy before it
// comes into force, by what it does. Each count is known by the name of its
// Effect. What a policy doesn't say needs no approval.
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

// Needs returns how many approvals a change with these effects needs: as many
// as the effect that needs most. One that weakens the rules of approval needs
// as many as any rule asks for, and so does one with an effect that is not
// known here.
func (a Approvals) Needs(effects []Effect) int {
	most := 0
	for _, effect := range effects {
		most = max(most, a.needs(effect))
	}
	return most
}

func (a Approvals) needs(effect Effect) int {
	switch effect {
	case OpensMarket:
		return a.Open
	case WithdrawsMarket:
		return a.Withdraw
	case WeakensGuarantee:
		return a.WeakenGuarantee
	case WeakensDemand:
		return a.WeakenDemand
	case AcknowledgesBreach:
		return a.Acknowledge
	case ChangesOther:
		return a.Other
	}
	return max(a.Open, a.Withdraw, a.WeakenGuarantee, a.WeakenDemand, a.Acknowledge, a.Other)
}

// counted are the effects that have a count of their own.
var counted = effects[1:]

// approvals checks how changes are approved.
func (p *parser) approvals() {
	a := p.text.Approvals
	for _, effect := range counted {
		if n := a.needs(effect); n < 0 || n > mostApprovals {
			p.doc.Errorf(fmt.Sprintf("ask for 0 to %d", mostApprovals), at("approvals", string(effect)), "%s can't need %d approvals", effect, n)
		}
	}
	if a.Expire < shortestExpiry || a.Expire > longestExpiry {
		p.doc.Errorf("give a time from 1m to 2160h, which is 90 days", at("approvals", "expire"), "a change can't wait %s for its approvals", inShort(a.Expire))
	}
	p.policy.approvals = a
}

func (p *Plan) amendApprovals(before, after *Policy) {
	was, is := before.approvals, after.approvals
	for _, rule := range counted {
		old, now := was.needs(rule), is.needs(rule)
		switch {
		case now < old:
			p.amended(WeakensApprovals, "approvals", string(rule), strconv.Itoa(old), strconv.Itoa(now))
		case now > old:
			p.amended(ChangesOther, "approvals", string(rule), strconv.Itoa(old), strconv.Itoa(now))
		}
	}
	if was.Expire != is.Expire {
		p.amended(ChangesOther, "approvals", "expire", inShort(was.Expire), inShort(is.Expire))
	}
}

// inShort writes a duration without the zeros at its end: 72h, not 72h0m0s.
func inShort(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
