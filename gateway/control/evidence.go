package control

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"os"
	"slices"
	"time"

	"github.com/exitgate/exitgate/gateway/evidence"
	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// Evidence returns what a file of evidence is made of: of a country or a part of one,
// and of a time, from the beginning and until now by default. The records come one by
// one, from the ledger. A file can't have more than [evidence.MaxRecords], nor
// more than [evidence.MaxBytes] of them.
func (c *Control) Evidence(ctx context.Context, code policy.Code, from, to time.Time) (h evidence.Header, records iter.Seq2[ledger.Record, error], err error) {
	now := c.now().UTC()
	untilNow := to.IsZero()
	if untilNow {
		to = now
	}
	switch {
	case code == policy.Unlocated || code == policy.Private || !policy.IsPlace(code):
		return h, nil, notFound("write an ISO 3166-1 country as FR, or an ISO 3166-2 subdivision as US-MS", "%q is neither a country nor a part of one", code)
	case c.source.File() != "":
		return h, nil, &changes.Error{Code: changes.ReadOnly, Message: "the policy comes from a file, and there is no ledger that could prove anything", Advice: "keep the policy in the ledger: see docs/changes.md"}
	case to.After(now):
		return h, nil, invalid("to is in the future: "+to.UTC().Format(time.RFC3339), "nothing proves what is to come: leave it out")
	case !from.Before(to):
		return h, nil, invalid("from is not before to", "give a time that has a length")
	}
	code = policy.PlaceOf(code).Jurisdiction()
	found, err := c.findRecords(ctx, from, to)
	if err != nil {
		return h, nil, err
	}
	host, _ := os.Hostname() // only for people
	h = evidence.Header{
		Jurisdiction: code, Name: policy.Name(code), From: from.UTC(), To: to.UTC(),
		Made: evidence.Made{At: now, Gateway: host, Version: c.o.Version},
		Head: found[len(found)-1],
	}
	if untilNow {
		h.Made.Counts = c.countsIn(ctx, code, now)
	}
	return h, func(yield func(ledger.Record, error) bool) {
		for _, point := range found {
			r, err := c.source.Record(ctx, point.Number)
			if err == nil && r.InLedger.Hash != point.Hash {
				err = brokenChain(point.Number)
			}
			if !yield(r.InLedger, err) || err != nil {
				return
			}
		}
	}, nil
}

// countsIn returns what all gateways have counted in the last day of a jurisdiction
// and what is in it.
func (c *Control) countsIn(ctx context.Context, code policy.Code, now time.Time) *evidence.Counts {
	sums, gateways := c.trafficOnce(ctx)()
	all := make(map[[2]string]evidence.Count)
	for k, n := range sums.Day {
		if !evidence.Within(k.Jurisdiction, code) {
			continue
		}
		of := [2]string{string(k.Jurisdiction), k.Class}
		count := all[of]
		count.Jurisdiction, count.Class = k.Jurisdiction, k.Class
		if k.Refused {
			count.Refused += n
		} else {
			count.Served += n
		}
		all[of] = count
	}
	counts := &evidence.Counts{Since: sums.Since.UTC(), Gateways: gateways, Requests: []evidence.Count{}}
	if dayAgo := now.AddDate(0, 0, -1); counts.Since.Before(dayAgo) {
		counts.Since = dayAgo
	}
	for _, of := range slices.SortedFunc(maps.Keys(all), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		counts.Requests = append(counts.Requests, all[of])
	}
	return counts
}

// findRecords returns where the records are that prove what was in force in a time,
// in their order: those from the revision on that was in force when it began, or from
// the first proposal of what came into force since, until the last that was written in it,
// or that says of something that it took place in it.
func (c *Control) findRecords(ctx context.Context, from, to time.Time) (found []ledger.Point, err error) {
	var wanted ledger.Hash // of the record before
	var size int
	complete, begun := false, false
	proposed := uint64(math.MaxUint64) // by the first of the records that are needed
	take := func(r source.Record) bool {
		if complete || len(found) > 0 && r.InLedger.Hash != wanted {
			return !complete // it isn't part of the chain
		}
		d, valid := describe(r)
		if len(found) == 0 && (!valid || r.Time.After(to) && (d.Took == nil || d.Took.After(to))) {
			return true
		}
		found = append(found, r.InLedger.Point())
		wanted, size = r.InLedger.Previous, size+len(r.Body)
		if valid && d.Revision != nil && !begun {
			begun = !r.Time.After(from)
			proposed = min(proposed, cmp.Or(d.Number, r.Number), r.Number)
		}
		complete = wanted == ledger.Hash{} || begun && r.Number <= proposed
		return len(found) <= evidence.MaxRecords && size <= evidence.MaxBytes
	}
	for before, more := uint64(0), true; more && !complete && len(found) <= evidence.MaxRecords && size <= evidence.MaxBytes; more = before != 0 {
		if before, err = c.source.Records(ctx, before, take); err != nil {
			return nil, err
		}
	}
	switch {
	case len(found) == 0:
		return nil, notFound("see exitgate log for when the ledger begins", "nothing was in force at that time, as the ledger begins later")
	case len(found) > evidence.MaxRecords || size > evidence.MaxBytes:
		return nil, invalid(fmt.Sprintf("the records of that time are more than %d, or more than %d MB", evidence.MaxRecords, evidence.MaxBytes>>20), "ask for less time at once")
	case !complete:
		return nil, brokenChain(found[len(found)-1].Number)
	}
	slices.Reverse(found)
	return found, nil
}

func brokenChain(number uint64) error {
	return &changes.Error{
		Code:    changes.Unavailable,
		Message: fmt.Sprintf("the ledger doesn't have what record %d follows from, or has another record by now", number),
		Advice:  "see what exitgate log --verify says",
	}
}
