package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/plan"
)

// checkProposal returns why a proposal is refused here that is no mistake by itself:
// what [Control.plan] says of it as Objection, or asks for.
func (c *Control) checkProposal(ctx context.Context, state changes.State, p changes.Proposal) error {
	if p.Emergency {
		return nil // waits for nothing
	}
	planned, err := state.Plan(p, c.o.Flags.Known(), c.now())
	if err != nil {
		return nil // whoever proposes it is told why
	}
	proposed, err := document.Read("policy", planned.Policy)
	if err != nil {
		return nil
	}
	if p.Set != nil {
		if unsaid := c.unsaid(c.trafficOnce(ctx), state.Policy(), proposed, p, planned.Plan); unsaid != nil {
			return unsaid[0]
		}
	}
	return c.checkFindable(state.Policy(), proposed, p, planned.Plan)
}

// checkFindable refuses a proposal by which a place would be withdrawn because of
// a demand, and in which no client can be found by the databases here: it would be
// said to be withdrawn, and be served. What was so before is no reason, and an
// emergency waits for nothing.
func (c *Control) checkFindable(inForce, proposed *policy.Policy, p changes.Proposal, planned plan.Plan) error {
	capability := c.o.Capability()
	if capability == nil || p.Emergency || p.Rollback != 0 && !planned.GivesMore() {
		return nil // what stood is better than what gives more
	}
	before := inForce.Unkept(capability)
	for _, code := range proposed.Unkept(capability) {
		if slices.Contains(before, code) {
			continue
		}
		around := string(capability.Around(code).Jurisdiction())
		return &changes.Error{
			Code:    changes.WrongPolicy,
			Message: fmt.Sprintf("%s has to be restricted, and no database here can tell who is there: they would be served as %s", code, around),
			Advice:  fmt.Sprintf("add a database to geo.databases that has %s, or withdraw %s, or write unknown-part: withhold in the entry", code, around),
		}
	}
	return nil
}

// unsaid returns what a proposal leaves unsaid of whom it reaches, in the entries
// that it changes: which of a country's territories, and what those get who may be
// in a part that a demand binds.
func (c *Control) unsaid(counted countedOnce, inForce, proposed *policy.Policy, p changes.Proposal, planned plan.Plan) (all []*changes.Error) {
	if planned.Before == planned.After || p.Set != nil && p.Set.Remove {
		return nil
	}
	count := func(country policy.Code) (hour uint64) {
		sums, _ := counted()
		for key, n := range sums.Hour {
			if policy.PlaceOf(key.Jurisdiction).Country == country {
				hour += n
			}
		}
		return hour
	}
	for _, code := range proposed.UnsaidTerritories() {
		if p.Set != nil && p.Set.Jurisdiction != code || proposed.SaysSame(inForce, code) {
			continue
		}
		territories := policy.TerritoriesOf(code)
		var counts []string
		for _, territory := range territories {
			counts = append(counts, fmt.Sprintf("%s %d", territory, count(territory)))
		}
		all = append(all, &changes.Error{
			Code: changes.UnsaidTerritories,
			Message: fmt.Sprintf("%s has territories with codes of their own, and it isn't said which of them this reaches; unsaid, it reaches none. Their requests of the last hour: %s",
				code, strings.Join(counts, ", ")),
			Advice: fmt.Sprintf("say territories (--territories): all, none, or codes, as in %s", territories[0]),
		})
	}
	if p.Set == nil {
		return all // of a document, it is an error
	}
	before := inForce.UnsaidParts()
	for _, part := range proposed.UnsaidParts() {
		e := &changes.Error{
			Code:    changes.UnsaidPart,
			Message: fmt.Sprintf("%s has to be restricted, and it isn't said what those get who are located to %s alone, and may be there. %s", part.Part, part.Country, c.describeChoices(counted, proposed, part)),
			Advice:  fmt.Sprintf("say unknown-part (--unknown-part): serve or withhold; or withdraw %s", part.Country),
		}
		switch {
		case part.Entry == p.Set.Jurisdiction:
		case slices.Contains(before, part):
			continue
		default: // what is around it would be served now
			e.Code = changes.WrongPolicy
			e.Advice = fmt.Sprintf("say unknown-part: serve or withhold in the entry %s first, as with exitgate set %s withdrawn --unknown-part serve", part.Entry, part.Entry)
		}
		all = append(all, e)
	}
	return all
}

// describeChoices says which requests of the last hour each choice of unknown-part
// would have hit.
func (c *Control) describeChoices(counted countedOnce, p *policy.Policy, part policy.UnsaidPart) string {
	sums, _ := counted()
	hour, _ := sums.Traffic()
	at := c.now()
	if part.InForce.After(at) {
		at = part.InForce
	}
	located, refused := plan.UnknownPartHits(p, c.o.Flags.Known(), at, part, hour)
	return fmt.Sprintf("Of the requests of the last hour, %d came from clients located to %s alone: unknown-part: withhold would refuse %d of them from %s on; serve would refuse none, also of those who are in %s",
		located, part.Country, refused, at.UTC().Format(time.RFC3339), part.Part)
}

// withChoices adds to the error of a document in which unknown-part is unsaid what
// each choice would hit.
func (c *Control) withChoices(ctx context.Context, p changes.Proposal, err error) error {
	wrong, ok := errors.AsType[*changes.Error](err)
	if !ok || wrong.Code != changes.WrongPolicy || p.Set != nil {
		return err
	}
	proposed, readErr := document.Read("policy", p.Policy)
	if readErr != nil {
		return err
	}
	counted, choices := c.trafficOnce(ctx), []string(nil)
	for _, part := range proposed.UnsaidParts() {
		choices = append(choices, c.describeChoices(counted, proposed, part))
	}
	if choices == nil {
		return err
	}
	more := *wrong
	more.Advice = strings.Join(slices.Compact(choices), "\n")
	return &more
}

func messages(all []*changes.Error) (texts []string) {
	for _, e := range all {
		texts = append(texts, e.Message)
	}
	return texts
}
