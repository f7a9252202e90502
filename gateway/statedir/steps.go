package statedir

import (
	"encoding/json"
	"time"

	"github.com/exitgate/exitgate/internal/files"
	"github.com/exitgate/exitgate/policy"
)

// Steps returns the sealed file that says which steps of schedules were taken.
func (d Dir) Steps() string { return d.in("steps.json") }

// ReadSteps returns what WriteSteps kept, nil if nothing was.
func (d Dir) ReadSteps() ([]byte, error) { return readSealed(d.Steps()) }

// WriteSteps keeps which steps of schedules were taken.
func (d Dir) WriteSteps(content []byte) error { return writeSealed(d.Steps(), content) }

// Schedule returns the file that says which policy was decided by last, from
// which source, and for which moment. Gateways up to 803cf21 know by it alone
// how far a schedule has come.
func (d Dir) Schedule() string { return d.in("schedule.json") }

// A moment is the latest one that a policy was compiled for. Earlier gateways skip what
// they don't know in it.
type moment struct {
	SHA256 string    `json:"sha256"` // of the policy
	At     time.Time `json:"at"`
	From   string    `json:"from,omitempty"` // the policy file that it came from; "" is the ledger
	// Steps is the SHA-256 of the steps that were taken by then, as WriteSteps has kept
	// them: by place, and all of them. "" is written by gateways up to 0293220, and by
	// who can't keep them.
	Steps string `json:"steps,omitempty"`
}

// readMoment returns what WriteMoment kept last, a zero one if that is not known.
func (d Dir) readMoment() (m moment) {
	text, err := files.Read(d.Schedule(), 4096)
	if err != nil || json.Unmarshal(text, &m) != nil {
		return moment{}
	}
	return m
}

// LastMoment returns the latest moment that a policy was decided for, its digest, and
// that of the steps that were taken by then; zero ones if that isn't known.
func (d Dir) LastMoment() (digest string, at time.Time, steps string) {
	m := d.readMoment()
	return m.SHA256, m.At, m.Steps
}

// WriteMoment keeps the latest moment that a policy was decided for, the digest of the
// steps that WriteSteps has kept by then, "" if it couldn't, and the policy file that the
// policy came from, "" for the ledger. A moment before the latest of the same policy is
// not kept.
func (d Dir) WriteMoment(digest string, at time.Time, steps, from string) error {
	m := moment{digest, at, from, steps}
	if last := d.readMoment(); last.SHA256 == m.SHA256 && !last.At.Before(m.At) {
		if last.Steps == m.Steps {
			return nil
		}
		m.At = last.At
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return files.Replace(d.Schedule(), text)
}

// LastFilePolicy returns the policy that the gateway decided by last, if that
// came from a file, and the file's name.
func (d Dir) LastFilePolicy() (source []byte, file string) {
	m := d.readMoment()
	source, err := d.ReadLastGood()
	if m.From == "" || err != nil || policy.Digest(source) != m.SHA256 {
		return nil, ""
	}
	return source, m.From
}
