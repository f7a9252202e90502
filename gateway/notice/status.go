package notice

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/text/language"

	"github.com/exitgate/exitgate/gateway/notice/phrases"
	"github.com/exitgate/exitgate/policy"
)

// A Market is what is public of a jurisdiction that the policy names.
type Market struct {
	Jurisdiction policy.Code  `json:"jurisdiction"`
	Phase        policy.Phase `json:"phase"`
	// Routes are the classes that this is limited to, none if it is about the
	// whole service. A jurisdiction may have both.
	Routes []string `json:"routes,omitempty"`
	// Since is when Phase began, Sunset when the service is, or was,
	// withdrawn. Zero if the policy gives no date.
	Since  time.Time `json:"since,omitzero"`
	Sunset time.Time `json:"sunset,omitzero"`
	// Schedule lists the transitions to come, in order of time.
	Schedule []policy.Step `json:"schedule,omitempty"`
	// Because lists the demands that this responds to. The public sees
	// those that may be disclosed: title, authority, source, stage and date.
	Because []policy.Demand `json:"-"`
}

// A Status is the public state of all markets, as JSON and as a page in every
// built-in language. It is safe for concurrent use.
type Status struct {
	markets []Market
	names   func(policy.Code) string
	locales *locales
	json    representation
	pages   []atomic.Pointer[representation] // by locale
}

// A representation is a response and what a client gets who has it already.
type representation struct {
	etag              string
	full, notModified *Response
}

// NewStatus returns the status of the markets, which are shown in this order. names is that of NewSet.
func NewStatus(markets []Market, names func(policy.Code) string) *Status {
	locales := newLocales(nil)
	return &Status{
		markets: markets,
		names:   names,
		locales: locales,
		// Anybody's page may read it: it is public and the same for everybody.
		json:  newRepresentation(statusJSON(markets), []Field{{"Content-Type", "application/json"}, {"Access-Control-Allow-Origin", "*"}}),
		pages: make([]atomic.Pointer[representation], len(locales.all)),
	}
}

// For returns the status for a request: a page for who prefers HTML, JSON for
// everybody else. accept and acceptLanguage are the lines of the fields of
// these names, ifNoneMatch those of If-None-Match. It never returns nil.
func (s *Status) For(accept, acceptLanguage, ifNoneMatch []string) *Response {
	r := &s.json
	if acceptedFormat(accept) == formatHTML {
		r = s.page(s.locales.choose(acceptLanguage, 0))
	}
	if r.matches(ifNoneMatch) {
		return r.notModified
	}
	return r.full
}

// matches reads If-None-Match: a weak comparison (RFC 9110, section 13.1.2).
func (r *representation) matches(ifNoneMatch []string) bool {
	for _, line := range ifNoneMatch {
		if strings.TrimSpace(line) == "*" || strings.Contains(line, r.etag) {
			return true
		}
	}
	return false
}

func newRepresentation(body []byte, fields []Field) representation {
	hash := sha256.Sum256(body)
	etag := `"` + base64.RawURLEncoding.EncodeToString(hash[:12]) + `"`
	always := []Field{
		// A minute: a transition may be seen that much late, never a change
		// that restricts, which the gateway applies by itself.
		{"Cache-Control", "public, max-age=60"},
		{"Etag", etag},
		{"Vary", "Accept, Accept-Language"},
	}
	full := append(append([]Field{}, fields...), always...)
	full = append(full, Field{"X-Content-Type-Options", "nosniff"})
	return representation{etag, newResponse(200, full, body), newResponse(304, always, nil)}
}

func statusJSON(markets []Market) []byte {
	type public struct {
		Market
		Because []demand `json:"because,omitempty"`
	}
	all := make([]public, 0, len(markets))
	for _, m := range markets {
		all = append(all, public{m, disclose(m.Because)})
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(struct {
		// Default is what a place gets that isn't listed.
		Default policy.Phase `json:"default"`
		Markets []public     `json:"markets"`
	}{policy.Open, all})
	if err != nil {
		panic(err) // strings and times in their range can be encoded
	}
	return b.Bytes()
}

func (s *Status) page(i int) *representation {
	if r := s.pages[i].Load(); r != nil {
		return r
	}
	locale := s.locales.all[i]
	fields := append([]Field{
		{"Content-Type", "text/html; charset=utf-8"},
		{"Content-Language", locale.name},
	}, pageHeader("; frame-ancestors 'none'")...)
	r := newRepresentation(executePage("status", s.content(locale)), fields)
	s.pages[i].CompareAndSwap(nil, &r)
	return s.pages[i].Load()
}

// statusContent is what the status page shows.
type statusContent struct {
	Language, Dir string
	Phrases       *phrases.Language
	Markets       []marketContent
	Why           bool // some market has a demand to name
}

type marketContent struct {
	Name, Code string
	Phase      policy.Phase
	PhaseName  string
	Only       string
	Since      fact
	Next       []fact // Label is the phase
	Because    []demandContent
}

type demandContent struct {
	demand
	StageName string
	Begins    fact // Label is that of InForce
}

func (s *Status) content(l locale) statusContent {
	lang := l.phrases
	c := statusContent{Language: l.name, Dir: l.dir, Phrases: lang}
	tag := language.Make(lang.Tag)
	for _, m := range s.markets {
		row := marketContent{
			Name:      placeName(m.Jurisdiction, lang, tag, s.names),
			Code:      string(m.Jurisdiction),
			Phase:     m.Phase,
			PhaseName: phaseName(m.Phase, lang),
		}
		if len(m.Routes) > 0 {
			row.Only = feature(lang.Status.Only, strings.Join(m.Routes, ", "))
		}
		if !m.Since.IsZero() {
			row.Since = fact{Value: lang.Day(m.Since), Time: m.Since}
		}
		for _, next := range m.Schedule {
			row.Next = append(row.Next, fact{phaseName(next.Phase, lang), lang.Day(next.From), next.From})
		}
		for _, d := range disclose(m.Because) {
			because := demandContent{demand: d, StageName: stageName(d.Stage, lang)}
			if !d.InForce.IsZero() {
				because.Begins = fact{lang.InForce, lang.Day(d.InForce), d.InForce}
			}
			row.Because, c.Why = append(row.Because, because), true
		}
		c.Markets = append(c.Markets, row)
	}
	return c
}

func phaseName(p policy.Phase, lang *phrases.Language) string {
	if int(p) < len(lang.Status.Phases) {
		return lang.Status.Phases[p]
	}
	return p.String()
}
