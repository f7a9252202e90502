package changes

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/plan"
)

// A Database is a geo database that is decided on, as it lacks much of what the
// one before had. It is known by its content: a decision holds for all gateways of
// the ledger that get the same file, under whatever name.
type Database struct {
	SHA256  string    `json:"sha256"` // of the file; where several are held together, of their SHA-256s
	Path    string    `json:"path"`   // of the file at the gateway where it was decided, the first one of several
	Build   time.Time `json:"build"`
	Against string    `json:"against,omitempty"` // what it was compared with: the path, "embedded", or "last-run": those before the start, together
	Losses  []Loss    `json:"losses,omitempty"`
}

// A Loss is what a database has less of than the one that it was compared with.
type Loss struct {
	Jurisdiction policy.Code `json:"jurisdiction,omitempty"` // none: all countries together
	Family       string      `json:"family"`                 // ipv4, in addresses; ipv6, in networks of 48 bits
	Before       float64     `json:"before"`
	After        float64     `json:"after"`
}

// A DatabaseDecision is what was decided on a geo database.
type DatabaseDecision struct {
	Database               // without what it was compared with, which its record has
	Number      uint64     `json:"number"`                // of the last record about it
	Status      Status     `json:"status"`                // Pending, Accepted or Rejected
	Needs       int        `json:"needs"`                 // how many have to accept it
	Acceptances []Approval `json:"acceptances,omitempty"` // who has
	Rejection   *Approval  `json:"rejection,omitempty"`   // who has rejected it
}

// Accepted is the status of a geo database that may be used whatever it lacks.
const Accepted Status = "accepted"

// MaxDatabases is how many decisions on geo databases are known: the last ones. A
// file of which the decision was forgotten is held again.
const MaxDatabases = 200

// A databaseBody is of format 2.
type databaseBody struct {
	Format   int      `json:"format"`
	Database Database `json:"database"`
	Accepts  int      `json:"accepts,omitempty"` // it is the first, second … to accept it; 0: it is rejected
	Needs    int      `json:"needs,omitempty"`
	Request  Request  `json:"request,omitzero"`
}

// DecideDatabase returns the entry by which a geo database is accepted or
// rejected. To accept one may open markets, so it takes what that takes: an
// operator, and then, by the same command, as many approvers as the policy says.
func (s State) DecideDatabase(by Actor, d Database, accept bool, because string, request Request) (Draft, error) {
	if err := s.checkRole(by, request, Operator, Approver); err != nil {
		return Draft{}, err
	}
	if err := checkReason(because); err != nil {
		return Draft{}, err
	}
	if !sha256Hex.MatchString(d.SHA256) {
		return Draft{}, refuse(Invalid, "see exitgate geo diff", "it isn't said which database, by its SHA-256 in hexadecimal")
	}
	known, _ := s.Database(d.SHA256)
	b := databaseBody{Format: 2, Database: d, Request: request.recorded()}
	switch {
	case known.Status == Accepted && accept:
		return Draft{}, refuse(NoChange, "", "%s was accepted already, by %s", d.name(), joinAnd(Approvers(known.Acceptances)))
	case known.Status == Accepted:
		return Draft{}, refuse(Ended, "put a better file in its place", "%s was accepted by %s", d.name(), joinAnd(Approvers(known.Acceptances)))
	case known.Status == Rejected && !accept:
		return Draft{}, refuse(NoChange, "", "%s was rejected already, by %s", d.name(), known.Rejection.By)
	case !accept:
		return newDraft(DatabaseDecided, by, strings.TrimSpace(because), b, nil)
	}
	b.Accepts, b.Needs = 1, 1
	if s.inUse != nil {
		b.Needs += plan.NeededApprovals(s.inUse.Approvals(), []plan.Effect{plan.OpensMarket})
	}
	if known.Status == Pending {
		people := s.people(Approvers(known.Acceptances))
		person := Actor{Name: s.person(by.Name), Roles: by.Roles}
		if err := CheckApprover(person, "accept", d.name(), people[:1], people[1:]); err != nil {
			return Draft{}, err
		}
		b.Accepts += len(people)
	} else if !slices.Contains(by.Roles, Operator) {
		return Draft{}, missingRole(by, Operator)
	}
	return newDraft(DatabaseDecided, by, strings.TrimSpace(because), b, nil)
}

// name names the database in a sentence.
func (d Database) name() string { return fmt.Sprintf("the database sha256:%.12s", d.SHA256) }

// describe says in a line what a record decides.
func (b databaseBody) describe() string {
	verb := "rejects"
	if b.Accepts > 0 {
		verb = "accepts"
	}
	line := fmt.Sprintf("%s %s, %s, built %s", verb, b.Database.name(), shorten(b.Database.Path), b.Database.Build.UTC().Format(time.DateOnly))
	if b.Needs > 1 {
		line += fmt.Sprintf(" (%d of %d)", b.Accepts, b.Needs)
	}
	return line
}

func (s State) decideDatabase(r Record) (State, error) {
	var b databaseBody
	if err := decodeBody(r.Body, &b); err != nil {
		return s, err
	}
	d, _ := s.Database(b.Database.SHA256)
	by := r.Approval()
	before := d.Acceptances
	d = DatabaseDecision{Database: b.Database, Number: r.Number, Needs: b.Needs}
	d.Against, d.Losses = "", nil
	if b.Accepts == 0 {
		d.Rejection, d.Status = &by, Rejected
	} else {
		d.Acceptances, d.Status = append(slices.Clip(before), by), Pending
		if len(d.Acceptances) >= b.Needs {
			d.Status = Accepted
		}
	}
	others := slices.DeleteFunc(slices.Clone(s.saved.Databases), func(o DatabaseDecision) bool { return o.SHA256 == d.SHA256 })
	s.saved.Databases = append(others[max(0, len(others)-MaxDatabases+1):], d)
	s.remember(r, b.Request)
	return s, nil
}

// Database returns what was decided on a geo database; false is nothing.
func (s State) Database(sha256 string) (DatabaseDecision, bool) {
	for _, d := range s.saved.Databases {
		if d.SHA256 == sha256 {
			return d, true
		}
	}
	return DatabaseDecision{}, false
}

// Databases returns the last decisions on geo databases, the oldest first.
func (s State) Databases() []DatabaseDecision { return slices.Clone(s.saved.Databases) }
