package source

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/internal/files"
	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/internal/watch"
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
type File struct{ o FileOptions }

// OpenFile applies the document, or, if it is wrong, the last good one.
func OpenFile(o FileOptions) (*File, error) {
	f := &File{o}
	wrong := f.reload()
	if wrong == nil {
		return f, nil
	}
	source, err := o.Dir.ReadLastGood()
	if err != nil {
		return nil, wrong
	}
	p, err := document.Read(o.Dir.LastGood(), source)
	if err != nil {
		return nil, wrong
	}
	o.Log.Error("starting with the last good policy instead", "sha256", p.Digest(), "file", o.Dir.LastGood())
	return f, o.Engine.Apply(p, nil, 0, time.Time{})
}

// reload applies the document, if it has changed.
func (f *File) reload() error {
	source, err := files.Read(f.o.Name, strictyaml.Limit)
	if err != nil {
		return f.o.Engine.RecordFailure("", fmt.Errorf("policy: %w", err))
	}
	read := document.Parse // it counts as proposed whenever it has changed
	if last, err := f.o.Dir.ReadLastGood(); err == nil && bytes.Equal(source, last) {
		read = document.Read
	}
	p, err := read(f.o.Name, source)
	if err != nil {
		return f.o.Engine.RecordFailure(policy.Digest(source), err)
	}
	return f.o.Engine.Apply(p, source, 0, time.Time{})
}

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

// State returns an empty State.
func (f *File) State() changes.State {
	return changes.New(parsers())
}

// PlanState implements Source.
func (f *File) PlanState() (changes.State, error) {
	return f.State().WithTaken(f.o.Engine.Taken()).With(changes.Record{Number: 1, Time: f.o.Now(), Draft: changes.FirstRevision(f.o.InUse().Source())})
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

// QueryTraffic asks nobody.
func (f *File) QueryTraffic(context.Context) ([][]byte, error) { return nil, nil }
