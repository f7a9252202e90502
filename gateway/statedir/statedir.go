// Package statedir is the data folder: what a gateway keeps on disk, under
// which names and in which formats.
//
// # Compatibility
//
// Everything that any version has written stays readable. A file is replaced
// as a whole: whenever the machine stops, the old or the new content is there.
// New files are sealed: before the content stands its SHA-256 (files.Seal), or behind
// it (flags). The
// last good policy is the document as it was applied, so that people can read and
// restore it.
package statedir

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

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
	if _, err := os.Lstat(Dir(folder).RestoreUnderWay()); err == nil {
		return "", fmt.Errorf("the data folder %s was restored in part only, as that was interrupted: do it again with exitgate restore", folder)
	}
	return Dir(folder), nil
}

func (d Dir) in(name string) string { return filepath.Join(string(d), name) }

// Socket returns the path of the Unix socket for operators.
func (d Dir) Socket() string { return d.in("admin.sock") }

// Ledger returns the folder of the NATS server in the process.
func (d Dir) Ledger() string { return d.in("ledger") }

// Replica returns the sealed file with the state of the ledger's replica.
func (d Dir) Replica() string { return d.in("ledger.json") }

// Records returns the file with a copy of all records of the ledger.
func (d Dir) Records() string { return d.in("records.log") }

// Occurrences returns the sealed file with what took place and isn't in the ledger yet.
func (d Dir) Occurrences() string { return d.in("occurrences.json") }

// ReadOccurrences returns what WriteOccurrences kept, nil if nothing was.
func (d Dir) ReadOccurrences() ([]byte, error) { return readSealed(d.Occurrences()) }

// WriteOccurrences keeps what took place and isn't in the ledger yet.
func (d Dir) WriteOccurrences(content []byte) error { return writeSealed(d.Occurrences(), content) }

// Reserve returns the file that takes up room, and is given up when the disk is full.
func (d Dir) Reserve() string { return d.in("reserve") }

// ReserveSize is the size of the reserve, in bytes: for some records, and the files
// that follow from them.
const ReserveSize = 4 << 20

// MakeReserve makes the reserve.
func (d Dir) MakeReserve() error { return files.Reserve(d.Reserve(), ReserveSize) }

// HasReserve reports whether there is a reserve.
func (d Dir) HasReserve() bool {
	info, err := os.Stat(d.Reserve())
	return err == nil && info.Size() >= ReserveSize
}

// GiveUpReserve gives the room of the reserve back.
func (d Dir) GiveUpReserve() error { return os.Remove(d.Reserve()) }

// Free returns how many bytes can be written to the data folder.
func (d Dir) Free() (int64, error) { return files.Free(string(d)) }

// Certificates returns the folder of certificates that are obtained, with their
// keys.
func (d Dir) Certificates() string { return d.in("certificates") }

// Databases returns the folder for copies of geo databases.
func (d Dir) Databases() string { return d.in("geo") }

// Decisions returns the sealed file with what was decided on geo databases, where
// the policy comes from a file and there is no ledger.
func (d Dir) Decisions() string { return d.in("decisions.json") }

// ReadDecisions returns what WriteDecisions kept, nil if nothing was.
func (d Dir) ReadDecisions() ([]byte, error) { return readSealed(d.Decisions()) }

// WriteDecisions keeps what was decided on geo databases.
func (d Dir) WriteDecisions(content []byte) error { return writeSealed(d.Decisions(), content) }

// readSealed returns what is in a sealed file, nil if there is none. What was cut
// or changed is an error.
func readSealed(name string) ([]byte, error) {
	text, err := files.Read(name, 16<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		text, err = files.Unseal(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return text, nil
}

// writeSealed replaces a sealed file.
func writeSealed(name string, content []byte) error { return files.Replace(name, files.Seal(content)) }

// Flags returns the sealed file with the last good values of flags.
func (d Dir) Flags() string { return d.in("flags.json") }

// LastGood returns the file with the last good policy, for a start at which the
// current one is wrong.
func (d Dir) LastGood() string { return d.in("last-good-policy.yaml") }

// ReadLastGood returns the last good policy.
func (d Dir) ReadLastGood() ([]byte, error) { return files.Read(d.LastGood(), strictyaml.Limit) }

// ReadLastUsed returns the last good policy for a start that has no other one. The error is
// one, too, if it isn't the one that the gateway decided by last, as far as that is known:
// then it was damaged, and could open a market.
func (d Dir) ReadLastUsed() ([]byte, error) {
	source, err := d.ReadLastGood()
	if err != nil {
		return nil, err
	}
	if used := d.readMoment().SHA256; used != "" && policy.Digest(source) != used {
		return nil, fmt.Errorf("%s is not the policy that was in use last, by the SHA-256 in %s: put the data folder back from a backup", d.LastGood(), d.Schedule())
	}
	return source, nil
}

// WriteLastGood keeps a policy as the last good one.
func (d Dir) WriteLastGood(source []byte) error { return files.Replace(d.LastGood(), source) }

// ReadFlags returns what WriteFlags kept, nil if nothing was.
func (d Dir) ReadFlags() ([]byte, error) {
	const limit = 16 << 20
	text, err := files.Read(d.Flags(), limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	content := text[:max(0, len(text)-8*sha256.Size)]
	if len(bytes.Trim(text[len(content):], " \t")) > 0 || len(content) == 0 { // written before it was sealed
		return text, nil
	}
	if !bytes.Equal(text, sealFlags(content)) {
		return nil, fmt.Errorf("%s: it doesn't match the checksum at its end: it was changed", d.Flags())
	}
	return content, nil
}

// sealFlags returns flags with their SHA-256 behind them, as spaces and tabs for zeros
// and ones: so they stay the JSON that earlier versions read.
func sealFlags(content []byte) []byte {
	sealed := slices.Clone(content)
	for _, b := range sha256.Sum256(content) {
		for bit := 7; bit >= 0; bit-- {
			sealed = append(sealed, " \t"[b>>bit&1])
		}
	}
	return sealed
}

// WriteFlags keeps the last good values of flags.
func (d Dir) WriteFlags(content []byte) error {
	return files.Replace(d.Flags(), sealFlags(content))
}

// MaxReplica is how large the file of the replica's state may be, in bytes.
const MaxReplica = 256 << 20

// WriteReplica keeps the state of the ledger's replica.
func (d Dir) WriteReplica(content []byte) error { return writeSealed(d.Replica(), content) }

// ReadReplica returns the state that WriteReplica kept. One that was cut or
// changed is an error.
func (d Dir) ReadReplica() ([]byte, error) {
	text, err := files.Read(d.Replica(), MaxReplica)
	if err != nil {
		return nil, err
	}
	return files.Unseal(text)
}
