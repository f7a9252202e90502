package source

import (
	"maps"
	"slices"
	"sync"
)

// invalidRecords are the records of the ledger that are skipped, and why. Who
// reads a single record can't tell: it may be well written.
type invalidRecords struct {
	mu      sync.Mutex
	reasons map[uint64]string // by number
}

const maxInvalid = 1000 // that are remembered, the newest

// note remembers why a record is invalid; with no error, that it is valid.
func (r *invalidRecords) note(number uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		delete(r.reasons, number)
		return
	}
	if r.reasons == nil {
		r.reasons = make(map[uint64]string)
	}
	r.reasons[number] = err.Error()
	if len(r.reasons) > maxInvalid {
		delete(r.reasons, slices.Min(slices.Collect(maps.Keys(r.reasons))))
	}
}

// reason returns why a record is invalid, "" if it is valid.
func (r *invalidRecords) reason(number uint64) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reasons[number]
}

func (r *invalidRecords) all() map[uint64]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.reasons)
}

// restore replaces all by what all returned before.
func (r *invalidRecords) restore(reasons map[uint64]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reasons = reasons
}
