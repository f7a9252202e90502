package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/internal/files"
	"github.com/exitgate/exitgate/policy/changes"
)

const (
	compareInterval = 24 * time.Hour  // how often the ledger's records are held against the copy
	copyTimeout     = 5 * time.Second // how long a change waits until its record is in the copy
)

// A recordsCopy is this gateway's copy of all records of the ledger: who did what
// isn't lost with the ledger. What can't be added to it, as the copy is behind or the
// disk is full, is read from the ledger again.
type recordsCopy struct {
	behind chan struct{} // has room for one: something is to be read from the ledger

	mu        sync.Mutex
	archive   *ledger.Archive // nil: it isn't open
	closed    bool
	err       error         // why the copy isn't whole
	differing []uint64      // records that the ledger has otherwise
	advanced  chan struct{} // closed when there are more records on disk, or an error
}

func newRecordsCopy() *recordsCopy {
	c := &recordsCopy{behind: make(chan struct{}, 1), advanced: make(chan struct{})}
	c.behind <- struct{}{}
	return c
}

// openCopy opens the copy, if it isn't open.
func (r *Replica) openCopy() *ledger.Archive {
	r.copy.mu.Lock()
	defer r.copy.mu.Unlock()
	if r.copy.archive == nil && !r.copy.closed {
		a, err := ledger.OpenArchive(r.o.Dir.Records(), r.o.Log)
		if err != nil {
			r.copy.fail(err, r)
			return nil
		}
		r.copy.archive = a
	}
	return r.copy.archive
}

// fail notes why the copy isn't whole. The lock is held.
func (c *recordsCopy) fail(err error, r *Replica) {
	if c.closed {
		return
	}
	if err != nil && (c.err == nil || c.err.Error() != err.Error()) {
		r.o.Log.Error("the copy of the ledger's records could not be written: the ledger alone has what is missing", "file", r.o.Dir.Records(), "error", err)
	}
	c.err = err
	close(c.advanced)
	c.advanced = make(chan struct{})
}

// copyRecord adds a record to the copy. It is on disk after syncCopy.
func (r *Replica) copyRecord(record ledger.Record) {
	a := r.openCopy()
	if a == nil {
		return
	}
	if err := a.Append(record); errors.Is(err, ledger.ErrGap) {
		r.fillCopy()
	} else if err != nil {
		r.copyResult(err)
	}
}

// fillCopy has what the copy lacks read from the ledger.
func (r *Replica) fillCopy() {
	select {
	case r.copy.behind <- struct{}{}:
	default:
	}
}

// copyResult notes whether what was to be written is on disk.
func (r *Replica) copyResult(err error) {
	r.copy.mu.Lock()
	defer r.copy.mu.Unlock()
	r.copy.fail(err, r)
	if err != nil {
		r.fillCopy()
	}
}

func (r *Replica) syncCopy() {
	if a := r.openCopy(); a != nil && a.Last().Number >= r.state.Load().point.Number {
		r.copyResult(a.Sync())
	}
}

// waitCopied waits until a record is in the copy and on disk, or can't be now.
func (r *Replica) waitCopied(ctx context.Context, number uint64) {
	ctx, cancel := context.WithTimeout(ctx, copyTimeout)
	defer cancel()
	for {
		r.copy.mu.Lock()
		a, err, advanced := r.copy.archive, r.copy.err, r.copy.advanced
		r.copy.mu.Unlock()
		if err != nil || len(r.differing()) > 0 || a != nil && a.Last().Number >= number && a.Sync() == nil {
			return
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			return
		}
	}
}

// differing returns the records that the ledger has otherwise than the copy.
func (r *Replica) differing() []uint64 {
	r.copy.mu.Lock()
	defer r.copy.mu.Unlock()
	return r.copy.differing
}

// copyError returns why the copy isn't whole.
func (r *Replica) copyError() error {
	r.copy.mu.Lock()
	defer r.copy.mu.Unlock()
	if r.copy.err == nil {
		return nil
	}
	return fmt.Errorf("the copy of the ledger's records: %w", r.copy.err)
}

// keepCopy fills the copy from the ledger whenever it is behind, and holds the
// ledger against it: at the start and once a day.
func (r *Replica) keepCopy(ctx context.Context) {
	compare := time.NewTicker(compareInterval)
	defer compare.Stop()
	checked, compared := false, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-compare.C:
			checked, compared = false, false
		case <-r.copy.behind:
		}
		err := r.completeCopy(ctx, &checked, &compared)
		if ctx.Err() != nil {
			return
		}
		if err != nil || !compared {
			select {
			case <-ctx.Done():
				return
			case <-time.After(retryInterval):
				r.fillCopy()
			}
		}
	}
}

// completeCopy checks the copy, fills it and compares it with the ledger, as far as
// that isn't done yet and the ledger can be reached.
func (r *Replica) completeCopy(ctx context.Context, checked, compared *bool) error {
	a := r.openCopy()
	if a == nil {
		return r.copyError()
	}
	if !*checked {
		if err := a.Check(); err != nil {
			r.copyResult(err)
			return err
		}
		*checked = true
	}
	l, err := r.opened()
	if err != nil || !l.Status().Connected {
		return nil // the ledger's own error says so
	}
	switch err := l.Fill(ctx, a); {
	case ctx.Err() != nil:
		return nil
	case errors.Is(err, ledger.ErrHistory) && !l.Status().Connected:
		return nil // so does whoever follows it
	case errors.Is(err, ledger.ErrHistory):
		r.noteDiffering([]uint64{a.Last().Number})
		return err
	case err != nil:
		if _, ofFile := errors.AsType[*fs.PathError](err); ofFile {
			r.copyResult(err)
		}
		return err
	}
	r.copyResult(nil)
	if *compared {
		return nil
	}
	differing, err := l.Compare(ctx, a)
	if err != nil {
		return err
	}
	r.noteDiffering(differing)
	*compared = true
	return nil
}

// noteDiffering notes which records the ledger has otherwise than the copy.
func (r *Replica) noteDiffering(numbers []uint64) {
	r.copy.mu.Lock()
	defer r.copy.mu.Unlock()
	if len(numbers) > 0 && !slices.Equal(numbers, r.copy.differing) {
		r.o.Log.Error("the ledger's records differ from this gateway's copy of them: one of the two was changed", "records", len(numbers), "first", numbers[0], "copy", r.o.Dir.Records())
	}
	r.copy.differing = numbers
}

// copied returns a record from the copy.
func (r *Replica) copied(number uint64) (ledger.Record, error) {
	a := r.openCopy()
	if a == nil {
		return ledger.Record{}, r.copyError()
	}
	return a.Record(number)
}

// copiedLast returns the number of the last record in the copy.
func (r *Replica) copiedLast() uint64 {
	if a := r.openCopy(); a != nil {
		return a.Last().Number
	}
	return 0
}

// checkNothingCopied returns an error if a ledger that is empty would begin anew
// where the copy has the records of one that was lost.
func (r *Replica) checkNothingCopied() error {
	if a := r.openCopy(); a != nil && a.Last().Number > 0 {
		return &changes.Error{
			Code:    changes.Unavailable,
			Message: fmt.Sprintf("the ledger is empty, and %s has the records of one that was lost, up to %d", r.o.Dir.Records(), a.Last().Number),
			Advice:  "make it again from them: exitgate ledger import; or move the file away to begin with another ledger",
		}
	}
	return nil
}

// LastKnown returns the last record that the replica in a data folder has seen, the
// zero Point if there is none.
func LastKnown(dir statedir.Dir) (ledger.Point, error) {
	sealed, err := files.Read(dir.Replica(), statedir.MaxReplica)
	if errors.Is(err, fs.ErrNotExist) {
		return ledger.Point{}, nil
	}
	var known ledger.Point
	if err == nil {
		known, err = LastKnownIn(sealed)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", dir.Replica(), err)
	}
	return known, err
}

// LastKnownIn returns the last record that the replica had seen whose sealed state this is.
func LastKnownIn(sealed []byte) (ledger.Point, error) {
	text, err := files.Unseal(sealed)
	var saved savedState
	if err == nil {
		err = json.Unmarshal(text, &saved)
	}
	return saved.Point, err
}
