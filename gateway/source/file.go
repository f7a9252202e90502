package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/internal/files"
	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/internal/watch"
	"github.com/exitgate/exitgate/internal/zonedtime"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/document"
)

// FileOptions are what a File is made of.
type FileOptions struct {
	Name   string
	Dir    statedir.Dir
	Engine Engine
	InUse  func() *policy.Policy // the policy that is decided by
	Log    *slog.Logger
	Now    func() time.Time
}

// A File is a policy document that somebody else keeps, as Git does. It is
// applied whenever it changes, and read-only here.
type File struct {
	o       FileOptions
	inPlace files.InPlace
	mu      sync.Mutex
	decided changes.State // what was decided on geo databases
}

// OpenFile applies the document, or, if it is wrong, the last good one.
func OpenFile(o FileOptions) (*File, error) {
	f := &File{o: o}
	f.readDecisions()
	wrong := f.reload()
	if wrong == nil {
		return f, nil
	}
	source, err := o.Dir.ReadLastUsed()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, wrong
	}
	if err != nil {
		return nil, errors.Join(wrong, err)
	}
	p, err := document.Read(o.Dir.LastGood(), source)
	if err != nil {
		return nil, wrong
	}
	o.Log.Error("starting with the last good policy instead", "sha256", p.Digest(), "file", o.Dir.LastGood())
	return f, o.Engine.Apply(p, nil, 0, time.Time{})
}

// reload applies the document, if it has changed. One calls it at a time.
func (f *File) reload() error {
	inPlace := f.inPlace.Look(f.o.Name)
	source, err := files.Read(f.o.Name, strictyaml.Limit)
	if err != nil {
		return f.o.Engine.RecordFailure("", fmt.Errorf("policy: %w", err))
	}
	last, err := f.o.Dir.ReadLastGood()
	proposed := err != nil || !bytes.Equal(source, last) // it counts as that whenever it has changed
	read := document.Parse
	if !proposed {
		read = document.Read
	}
	p, err := read(f.o.Name, source)
	if err == nil && proposed {
		err = document.CheckDates(f.o.Name, p, f.o.Now())
	}
	if err == nil && proposed {
		err = document.CheckZones(f.o.Name, p, zonedtime.Check, zonedtime.CheckName)
	}
	if err != nil {
		return f.o.Engine.RecordFailure(policy.Digest(source), &PolicyError{err, bytes.Contains(source, []byte("disclos"))})
	}
	if err := files.CheckWhole(last, source, inPlace); err != nil {
		return f.o.Engine.RecordFailure(policy.Digest(source), fmt.Errorf("policy: %s: %w", f.o.Name, err))
	}
	return f.o.Engine.Apply(p, source, 0, time.Time{})
}

// A PolicyError is what is wrong with a policy.
type PolicyError struct {
	error
	Undisclosed bool // it may have demands that may not be disclosed
}

func (e *PolicyError) Unwrap() error { return e.error }

// Run follows the file. What is wrong is logged and shown by the engine.
func (f *File) Run(ctx context.Context) {
	watch.Files(ctx, []string{f.o.Name}, watch.Options{Logger: f.o.Log}, func() { _ = f.reload() })
}

// Close does nothing.
func (f *File) Close() {}

// Kind returns KindFile.
func (f *File) Kind() Kind { return KindFile }

// File returns its name.
func (f *File) File() string { return f.o.Name }

// State implements Source.
func (f *File) State() changes.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.decided
}

// readDecisions reads what was decided on geo databases before. Without it,
// those that were decided on are held again, which opens nothing.
func (f *File) readDecisions() {
	f.decided = changes.New(parsers())
	text, err := f.o.Dir.ReadDecisions()
	if err == nil && text != nil {
		var kept changes.State
		if kept, err = changes.Restore(text, changes.Supplement{}, parsers()); err == nil {
			f.decided = kept
		}
	}
	if err != nil {
		f.o.Log.Error("what was decided on geo databases can't be read: decide again", "error", err)
	}
}

// WriteDecision keeps what is decided on a geo database in the data folder.
func (f *File) WriteDecision(_ context.Context, decide func(changes.State) (changes.Draft, error)) (changes.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	draft, err := decide(f.decided)
	if err != nil {
		return changes.Record{}, err
	}
	record := changes.Record{Number: f.decided.Last() + 1, Time: f.o.Now().UTC(), Draft: draft}
	next, err := f.decided.With(record)
	var text []byte
	if err == nil {
		text, err = next.MarshalJSON()
	}
	if err == nil {
		err = f.o.Dir.WriteDecisions(text)
	}
	if err != nil {
		return changes.Record{}, &changes.Error{Code: changes.Unavailable, Message: fmt.Sprintf("nothing was decided, as that can't be kept: %v", err), Advice: "see that the data folder can be written"}
	}
	f.decided = next
	return record, nil
}

// PlanState implements Source.
func (f *File) PlanState() (changes.State, error) {
	return changes.New(parsers()).WithTaken(f.o.Engine.Taken()).With(changes.Record{Number: 1, Time: f.o.Now(), Draft: changes.FirstRevision(f.o.InUse().Source())})
}

// Write returns that nothing can be changed.
func (f *File) Write(context.Context, func(changes.State) (changes.Draft, error)) (changes.Record, error) {
	return changes.Record{}, &changes.Error{
		Code:    changes.ReadOnly,
		Message: "the policy comes from the file " + f.o.Name + ", and nothing can be changed here",
		Advice:  "change the file; or start the gateway without it, and apply it: exitgate apply " + f.o.Name + " --because …",
	}
}

// noLedger is the error of everything that is read from a ledger.
func (f *File) noLedger() error {
	return &changes.Error{
		Code:    changes.NotFound,
		Message: "there is no ledger: the policy comes from the file " + f.o.Name,
		Advice:  "look at the file's own history, as git log does",
	}
}

// Record returns that there is no ledger.
func (f *File) Record(context.Context, uint64) (Record, error) { return Record{}, f.noLedger() }

// Records returns that there is no ledger.
func (f *File) Records(context.Context, uint64, func(Record) bool) (uint64, error) {
	return 0, f.noLedger()
}

// Verify returns that there is no ledger.
func (f *File) Verify(context.Context) (Verification, error) { return Verification{}, f.noLedger() }

// Connection returns nil.
func (f *File) Connection() *Connection { return nil }

// SaveError returns nil.
func (f *File) SaveError() error { return nil }

// QueryProbes asks nobody.
func (f *File) QueryProbes(context.Context, policy.Code) ([][]byte, error) { return nil, nil }

// QueryTraffic asks nobody.
func (f *File) QueryTraffic(context.Context) ([][]byte, error) { return nil, nil }
