package enforce

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/exitgate/exitgate/internal/strictjson"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

const (
	// writeAhead is how long before a step it is written down, so that the
	// first request that is decided by it needn't wait for the disk.
	writeAhead = 2 * time.Second
	// writeLimit is how long anything waits for a disk that hangs. What waits
	// restricts: it must hold, kept or not.
	writeLimit = 500 * time.Millisecond
)

// savedSteps are the steps of schedules that were taken, as they are kept, so that
// a clock that is set back takes none back.
type savedSteps struct {
	Version int               `json:"version,omitempty"` // of this format; 1 isn't written
	Taken   policy.TakenSteps `json:"taken,omitempty"`
	// Next are those that are taken in a moment. Who reads them later than
	// Written knows by the clock whether they were; who reads them earlier has a
	// clock that was set back.
	Next    policy.TakenSteps `json:"next,omitempty"`
	Written time.Time         `json:"written,omitzero"`

	digest string // of these, as they are kept
}

// Taken returns the steps of schedules that were taken: the policy in use is
// decided by at least these.
func (e *Engine) Taken() policy.TakenSteps {
	if current := e.current.Load(); current != nil {
		return current.taken
	}
	return nil
}

// TakenBefore returns the date of the latest step that was taken before this process
// began, zero for none.
func (e *Engine) TakenBefore() time.Time {
	if latest := e.takenBefore.Load(); latest != nil {
		return *latest
	}
	return time.Time{}
}

// StepsError returns why the steps of schedules that were taken aren't known from the
// disk, as they were damaged at the start, or not kept there now; nil if they are.
func (e *Engine) StepsError() error {
	var errs []error
	if damage := e.stepsDamage.Load(); damage != nil {
		errs = append(errs, fmt.Errorf("at the start: %w", *damage))
	}
	return errors.Join(append(errs, e.steps.err())...)
}

// readTaken returns the steps that were taken before this process began.
func (e *Engine) readTaken(p *policy.Policy) policy.TakenSteps {
	kept, err := e.readSteps()
	if err != nil {
		e.o.Log.Error("which steps of schedules were taken can't be read; going by the last policy and moment that were kept, and the clock", "error", err)
		e.stepsDamage.Store(&err)
	}
	taken := kept.Taken
	if e.now().Before(kept.Written) {
		taken = kept.Next // the clock was set back: nobody knows whether it had come to them
	}
	digest, at, steps := e.o.Store.LastMoment()
	if kept.digest != "" && kept.digest == steps {
		return taken
	}
	// An earlier version, or one that was used in between, has kept them by entry, or no
	// more than the moment.
	byPlace := p.TakenByEntries(taken)
	if digest == p.Digest() {
		return byPlace.Merge(p.TakenAt(at))
	}
	if source, err := e.o.Store.ReadLastGood(); err == nil && policy.Digest(source) == digest {
		if last, err := document.Read("last good policy", source); err == nil {
			return byPlace.Merge(last.TakenByEntries(taken)).Merge(last.TakenAt(at))
		}
	}
	return byPlace
}

// readSteps returns the steps that were kept, none if none were.
func (e *Engine) readSteps() (s savedSteps, err error) {
	text, err := e.o.Store.ReadSteps()
	if text == nil || err != nil {
		return savedSteps{}, err
	}
	if err = strictjson.Unmarshal(text, &s); err == nil && s.Version > 1 {
		err = fmt.Errorf("a newer exitgate has written them, in format %d", s.Version)
	}
	if err != nil {
		return savedSteps{}, err
	}
	s.digest = policy.Digest(text)
	return s, nil
}

// flushSteps writes the steps that are wanted on disk.
func (e *Engine) flushSteps() {
	if err, first := e.steps.flush(); first {
		e.o.Log.Error("which steps of schedules were taken could not be kept for the next start: make room in the data folder, and let the gateway write to it", "error", err)
	}
}

// A stepKeeper keeps steps on disk, the newest ones, and each once. It is safe
// for concurrent use.
type stepKeeper struct {
	write   func([]byte) error
	writing sync.Mutex // held while it is written

	mu     sync.Mutex
	wanted savedSteps // what is to be on disk
	number int        // of wanted
	kept   int        // the number of what is on disk; 0: what was there
	onDisk string     // the digest of that
	failed error      // why the last one couldn't be written
}

// err returns why the newest steps aren't on disk.
func (k *stepKeeper) err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failed
}

// digest returns that of the newest steps, "" if they aren't on disk.
func (k *stepKeeper) digest() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kept != k.number {
		return ""
	}
	return k.onDisk
}

// has reports whether steps are on disk, as taken or as those that come next.
func (k *stepKeeper) has(taken policy.TakenSteps) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept > 0 && k.kept == k.number &&
		(sameSteps(k.wanted.Taken, taken) || k.wanted.Next != nil && sameSteps(k.wanted.Next, taken))
}

// want sets what is to be on disk.
func (k *stepKeeper) want(s savedSteps) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.number == 0 || !sameSteps(k.wanted.Taken, s.Taken) || !sameSteps(k.wanted.Next, s.Next) {
		k.wanted = s
		k.number++
	}
}

// flush writes what is wanted, if it isn't on disk, and waits for the disk, but
// not for long. It returns whether an error is the first one since the last that
// was written.
func (k *stepKeeper) flush() (err error, first bool) {
	k.mu.Lock()
	number, done := k.number, k.kept == k.number
	k.mu.Unlock()
	if done {
		return nil, false
	}
	written := make(chan error, 1)
	go func() { written <- k.writeNewest(number) }()
	limit := time.NewTimer(writeLimit)
	defer limit.Stop()
	select {
	case err = <-written:
	case <-limit.C:
		err = errors.New("the disk takes too long")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	first = err != nil && k.failed == nil
	k.failed = err
	return err, first
}

// writeNewest writes what is wanted now, unless that number, or one that is
// newer, is on disk.
func (k *stepKeeper) writeNewest(number int) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	k.mu.Lock()
	newest, s, done := k.number, k.wanted, k.kept >= number
	k.mu.Unlock()
	if done {
		return nil
	}
	text, err := json.Marshal(s)
	if err == nil {
		err = k.write(text)
	}
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept, k.onDisk = newest, policy.Digest(text)
	return nil
}

func sameSteps(a, b policy.TakenSteps) bool {
	return maps.EqualFunc(a, b, policy.Step.Equal)
}
