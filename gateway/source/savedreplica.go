package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/policy/changes"
)

// savedState is a state on disk. The names are those of version 1.
type savedState struct {
	Point              ledger.Point      `json:"point"`
	State              json.RawMessage   `json:"state"`
	Invalid            map[uint64]string `json:"refused,omitempty"`
	changes.Supplement                   // earlier versions skip it
}

// restore reads the state that was saved, an empty one if there is none.
func (r *Replica) restore() (*state, error) {
	empty := &state{changes: changes.New(r.parsers())}
	text, err := r.o.Dir.ReadReplica()
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	var saved savedState
	if err == nil {
		err = json.Unmarshal(text, &saved)
	}
	var restored changes.State
	if err == nil {
		restored, err = changes.Restore(saved.State, saved.Supplement, r.parsers())
	}
	if err != nil {
		return empty, fmt.Errorf("%s: %w", r.o.Dir.Replica(), err)
	}
	r.invalid.restore(saved.Invalid)
	if restored.IsOutdated() || saved.Began == nil {
		restored = r.readAgain(restored, saved.Point)
	}
	return &state{changes: restored, point: saved.Point}, nil
}

// readAgain returns what the records up to a point come to, read from the copy:
// an earlier version has skipped some that this one may know, or hasn't noted since when
// markets get what they get. Where the copy hasn't all of them it is what that version
// has kept.
func (r *Replica) readAgain(kept changes.State, until ledger.Point) changes.State {
	again := changes.New(r.parsers())
	if a := r.openCopy(); a != nil {
		for record, err := range a.Records() {
			if err != nil || record.Number > until.Number {
				break
			}
			// Invalid records are known as such already.
			if again, _ = again.With(recordOf(record)); record.Point() == until && again.Revision().Number == kept.Revision().Number {
				r.o.Log.Info("the ledger's records were read again, as an earlier version didn't know all of them", "unknown before", kept.Unknown(), "unknown now", again.Unknown())
				return again
			}
		}
	}
	if !kept.IsOutdated() {
		return kept
	}
	r.o.Log.Warn("records that an earlier version has skipped stay unknown, as the copy of the ledger's records isn't whole", "unknown", kept.Unknown(), "file", r.o.Dir.Records())
	return kept
}

// save keeps a state for the next start.
func (r *Replica) save(s *state) {
	text, err := s.changes.MarshalJSON()
	if err == nil {
		text, err = json.Marshal(savedState{s.point, text, r.invalid.all(), s.changes.Supplement()})
	}
	if err == nil {
		err = r.o.Dir.WriteReplica(text)
	}
	if err != nil {
		r.o.Log.Error("the ledger's state could not be saved: the next start would need the ledger", "error", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saveErr = err
}

// SaveError implements Source.
func (r *Replica) SaveError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.saveErr, r.copyError())
}
