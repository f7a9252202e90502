package source

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/plan"
)

// openEverywhere is the policy that a ledger begins with: it serves everywhere.
const openEverywhere = "version: 1\n"

// firstRevision returns what an empty ledger begins with: a policy that serves
// everywhere, or, on a machine that decided by another one, that one. Neither a
// setting that changes nor a ledger that is lost opens a market.
func (r *Replica) firstRevision() (changes.Draft, error) {
	everywhere := changes.FirstRevision([]byte(openEverywhere))
	source, err := r.o.Dir.ReadLastUsed()
	if errors.Is(err, fs.ErrNotExist) {
		return everywhere, nil
	}
	if err == nil {
		_, err = document.Read(r.o.Dir.LastGood(), source)
	}
	if err != nil {
		return everywhere, fmt.Errorf("the ledger is empty, and the policy that this machine last used can't be read: %w\nmend it, or remove it to begin with a policy that serves everywhere", err)
	}
	first := changes.FirstRevision(source)
	first.Reason = "This machine went by it before: it is " + r.o.Dir.LastGood() + "."
	return first, nil
}

// checkMatchesLastPolicy returns an error if the ledger in the process ends with
// another policy than this machine last used, and no state of the replica says
// that it had come further: then some of it is lost.
func (r *Replica) checkMatchesLastPolicy(next *state) error {
	if r.o.Remote || r.state.Load().point != (ledger.Point{}) {
		return nil
	}
	lastGood := r.o.Dir.LastGood()
	if source, err := r.o.Dir.ReadLastGood(); err != nil || bytes.Equal(source, next.changes.Source()) {
		return nil
	}
	return fmt.Errorf("the ledger ends with revision %d, but this machine last used another policy, that in %s, and no good %s says how far the ledger had come: put the data folder back from a backup, or remove %s to use what the ledger has",
		next.changes.Revision().Number, lastGood, r.o.Dir.Replica(), lastGood)
}

// checkOpensNothing returns an error if a gateway that used a policy file before
// would open a market by the ledger: only a revision opens a market, and no
// setting.
func (r *Replica) checkOpensNothing(next *state) error {
	source, file := r.o.Dir.LastFilePolicy()
	if source == nil || next.changes.Policy() == nil || r.o.Engine.Decides() {
		return nil
	}
	before, err := document.Read(file, source)
	if err != nil {
		return nil // it held nobody off any more
	}
	change := plan.New(before, next.changes.Policy(), r.o.Flags(), r.o.Now())
	if !change.HasEffect(plan.OpensMarket) && !change.HasEffect(plan.WeakensGuarantee) {
		return nil
	}
	return fmt.Errorf("this gateway last used %s, and revision %d of the ledger would open what that withdrew: go on with the file; or, where no traffic goes, remove %s, start the gateway and exitgate apply %s",
		file, next.changes.Revision().Number, r.o.Dir.Schedule(), file)
}
