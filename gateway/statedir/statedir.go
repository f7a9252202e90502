// Package statedir is the data folder: what a gateway keeps on disk, under
// which names and in which formats.
//
// # Compatibility
//
// Everything that any version has written stays readable. A file is replaced
// as a whole: whenever the machine stops, the old or the new content is there.
// New files are sealed: before the content stands its SHA-256 (files.Seal). The last good policy is the document as
// it was applied, so that people can read and restore it.
package statedir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/exitgate/exitgate/internal/files"
	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy"
)

// Path returns the path of the data folder: the one that is named, else by the
// environment. It needn't exist yet.
func Path(named string) (string, error) {
	for _, candidate := range []struct{ root, below string }{
		{named, ""},
		{os.Getenv("STATE_DIRECTORY"), ""},
		{os.Getenv("XDG_STATE_HOME"), "exitgate"},
		{os.Getenv("HOME"), ".local/state/exitgate"},
	} {
		if candidate.root != "" {
			return filepath.Join(candidate.root, candidate.below), nil
		}
	}
	return "", errors.New("there is no place for the data folder, as HOME is not set; choose one with --data")
}

// A Dir is the path of a data folder. Its methods are safe for concurrent use,
// but for those that write: one goroutine at a time writes the same file.
type Dir string

// Open makes the data folder that Path returns, if it isn't there.
func Open(named string) (Dir, error) {
	folder, err := Path(named)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("data folder: %w; choose another with --data", err)
	}
	files.RemoveUnfinished(folder)
	return Dir(folder), nil
}

func (d Dir) in(name string) string { return filepath.Join(string(d), name) }

// Socket returns the path of the Unix socket for operators.
func (d Dir) Socket() string { return d.in("admin.sock") }

// Ledger returns the folder of the NATS server in the process.
func (d Dir) Ledger() string { return d.in("ledger") }

// Replica returns the sealed file with the state of the ledger's replica.
func (d Dir) Replica() string { return d.in("ledger.json") }

// Databases returns the folder for copies of geo databases.
func (d Dir) Databases() string { return d.in("geo") }

// Flags returns the file with the last good values of flags.
func (d Dir) Flags() string { return d.in("flags.json") }

// LastGood returns the file with the last good policy, for a start at which the
// current one is wrong.
func (d Dir) LastGood() string { return d.in("last-good-policy.yaml") }

// Schedule returns the file that says how far the policy's schedule has come,
// so that a clock that is set back takes nothing back.
func (d Dir) Schedule() string { return d.in("schedule.json") }

// ReadLastGood returns the last good policy.
func (d Dir) ReadLastGood() ([]byte, error) { return files.Read(d.LastGood(), strictyaml.Limit) }

// WriteLastGood keeps a policy as the last good one.
func (d Dir) WriteLastGood(source []byte) error { return files.Replace(d.LastGood(), source) }

// A step is the latest moment that a policy was compiled for.
type step struct {
	SHA256 string    `json:"sha256"`
	At     time.Time `json:"at"`
	From   string    `json:"from,omitempty"` // the policy file that it came from; "" is the ledger
}

// readStep returns the step that was written last, a zero one if that is not
// known.
func (d Dir) readStep() (s step) {
	text, err := files.Read(d.Schedule(), 4096)
	if err != nil || json.Unmarshal(text, &s) != nil {
		return step{}
	}
	return s
}

// LatestStep returns how far a policy's schedule has come, zero if that is not
// known.
func (d Dir) LatestStep(digest string) time.Time {
	if s := d.readStep(); s.SHA256 == digest {
		return s.At
	}
	return time.Time{}
}

// WriteStep keeps how far a policy's schedule has come, and the policy file
// that it came from, "" for the ledger. A step before the latest is not kept.
func (d Dir) WriteStep(digest string, at time.Time, from string) error {
	if !d.LatestStep(digest).Before(at) {
		return nil
	}
	text, err := json.Marshal(step{digest, at, from})
	if err != nil {
		return err
	}
	return files.Replace(d.Schedule(), text)
}

// LastFilePolicy returns the policy that the gateway decided by last, if that
// came from a file, and the file's name.
func (d Dir) LastFilePolicy() (source []byte, file string) {
	s := d.readStep()
	source, err := d.ReadLastGood()
	if s.From == "" || err != nil || policy.Digest(source) != s.SHA256 {
		return nil, ""
	}
	return source, s.From
}

// ReadFlags returns what WriteFlags kept, nil if nothing was.
func (d Dir) ReadFlags() ([]byte, error) {
	const limit = 16 << 20
	text, err := files.Read(d.Flags(), limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// WriteFlags keeps the last good values of flags.
func (d Dir) WriteFlags(content []byte) error { return files.Replace(d.Flags(), content) }

// WriteReplica keeps the state of the ledger's replica.
func (d Dir) WriteReplica(content []byte) error {
	return files.Replace(d.Replica(), files.Seal(content))
}

// ReadReplica returns the state that WriteReplica kept. One that was cut or
// changed is an error.
func (d Dir) ReadReplica() ([]byte, error) {
	const limit = 256 << 20
	text, err := files.Read(d.Replica(), limit)
	if err != nil {
		return nil, err
	}
	return files.Unseal(text)
}
