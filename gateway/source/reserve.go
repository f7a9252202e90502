package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/internal/watch"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/plan"
)

const (
	reserveInterval = 10 * time.Second // how often the reserve is made again, if it can be
	fewBytes        = 1 << 20          // with less a disk is taken for full
)

// errNoReserve is the error of a reserve that was given up, or never was made.
var errNoReserve = errors.New("the disk is full")

// makeReserve takes up the room that makeRoom gives up, if there is enough besides.
func (r *Replica) makeReserve() {
	if r.o.Dir.HasReserve() {
		return
	}
	free, err := r.o.Dir.Free()
	if err == nil && free >= 2*statedir.ReserveSize {
		err = r.o.Dir.MakeReserve()
	}
	if err != nil {
		r.o.Log.Debug("the reserve of the data folder can't be made", "error", err)
	}
}

// keepReserve makes the reserve again when there is room for it.
func (r *Replica) keepReserve(ctx context.Context) {
	watch.Every(ctx, reserveInterval, r.makeReserve)
}

// reserveError returns why there is no reserve.
func (r *Replica) reserveError() error {
	if r.o.Dir.HasReserve() {
		return nil
	}
	return fmt.Errorf("%w: there is no room for the file %s, which is given up for a withdrawal", errNoReserve, r.o.Dir.Reserve())
}

// makeRoom gives up the reserve if the disk is full, and a policy withdraws something
// and opens nothing.
func (r *Replica) makeRoom(before, after *policy.Policy) {
	if free, err := r.o.Dir.Free(); err != nil || free >= fewBytes || before == nil || after == nil || !r.o.Dir.HasReserve() {
		return
	}
	change := plan.New(before, after, r.o.Flags(), r.o.Now())
	if !change.HasEffect(plan.WithdrawsMarket) || change.HasEffect(plan.OpensMarket) {
		return
	}
	r.o.Log.Warn("the disk is full: its reserve is given up for a withdrawal", "file", r.o.Dir.Reserve())
	if err := r.o.Dir.GiveUpReserve(); err != nil {
		r.o.Log.Error("the reserve could not be given up", "error", err)
	}
}

// makeRoomFor gives up the reserve for a draft, as makeRoom does.
func (r *Replica) makeRoomFor(now changes.State, d changes.Draft) {
	if free, err := r.o.Dir.Free(); err != nil || free >= fewBytes {
		return
	}
	next, err := now.With(changes.Record{Number: now.Last() + 1, Time: r.o.Now(), Draft: d})
	if err == nil {
		r.makeRoom(now.Policy(), next.Policy())
	}
}
