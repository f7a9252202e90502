package gateway

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/exitgate/exitgate/internal/files"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/strict"
)

// keptPolicy is the folder in which the gateway keeps the last good policy,
// for a start at which the current one is wrong, and how far its schedule has
// come, so that a clock that is set back takes nothing back. "" keeps nothing.
type keptPolicy string

func (k keptPolicy) document() string { return filepath.Join(string(k), "last-good-policy.yaml") }
func (k keptPolicy) progress() string { return filepath.Join(string(k), "schedule.json") }

// A progress is the latest moment that a policy was compiled for.
type progress struct {
	SHA256 string    `json:"sha256"`
	At     time.Time `json:"at"`
	From   string    `json:"from,omitempty"` // the policy file that it came from; "" is the ledger
}

func (k keptPolicy) read() ([]byte, error) {
	if k == "" {
		return nil, os.ErrNotExist
	}
	return files.Read(k.document(), strict.Limit)
}

func (k keptPolicy) write(source []byte) error {
	if k == "" || source == nil {
		return nil
	}
	return files.Replace(k.document(), source)
}

// latest returns how far a policy's schedule has come, zero if that is not
// known.
func (k keptPolicy) latest(digest string) time.Time {
	if p := k.come(); p.SHA256 == digest {
		return p.At
	}
	return time.Time{}
}

// come returns what was noted last, a zero progress if that is not known.
func (k keptPolicy) come() (p progress) {
	if k == "" {
		return p
	}
	text, err := files.Read(k.progress(), 4096)
	if err != nil || json.Unmarshal(text, &p) != nil {
		return progress{}
	}
	return p
}

// advance notes how far a policy's schedule has come, and where the policy
// came from.
func (k keptPolicy) advance(digest string, at time.Time, from string) error {
	if k == "" || !k.latest(digest).Before(at) {
		return nil
	}
	text, err := json.Marshal(progress{digest, at, from})
	if err != nil {
		return err
	}
	return files.Replace(k.progress(), text)
}

// ofFile returns the policy that the gateway went by last, if that came from a
// file, and the file's name.
func (k keptPolicy) ofFile() (source []byte, file string) {
	p := k.come()
	source, err := k.read()
	if p.From == "" || err != nil || policy.Digest(source) != p.SHA256 {
		return nil, ""
	}
	return source, p.From
}
