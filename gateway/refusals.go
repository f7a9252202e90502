package gateway

import (
	"maps"
	"slices"
	"sync"
)

// refusals are the records of the ledger that aren't believed, and why. What
// reads single records can't tell: they may be well written.
type refusals struct {
	mu  sync.Mutex
	why map[uint64]string // by number
}

const maxRefusals = 1000 // that are remembered, the newest

// note remembers why a record isn't believed; with no error, that it is.
func (r *refusals) note(number uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		delete(r.why, number)
		return
	}
	if r.why == nil {
		r.why = make(map[uint64]string)
	}
	r.why[number] = err.Error()
	if len(r.why) > maxRefusals {
		delete(r.why, slices.Min(slices.Collect(maps.Keys(r.why))))
	}
}

// of returns why a record isn't believed, "" if it is.
func (r *refusals) of(number uint64) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.why[number]
}

func (r *refusals) all() map[uint64]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.why)
}

// restore goes by what was kept.
func (r *refusals) restore(kept map[uint64]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.why = kept
}
