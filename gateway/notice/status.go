package notice

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/text/language"

	"github.com/exitgate/exitgate/gateway/notice/phrases"
	"github.com/exitgate/exitgate/policy"
)

// A Status is the public state of all markets, as JSON and as a page in every
// built-in language. It is safe for concurrent use.
type Status struct {
	rows    []statusRow
	version string
	names   func(policy.Code) string
	locales *locales
	json    representation
	pages   []atomic.Pointer[representation] // by locale
}

// A statusRow is what some places get alike, of the whole service or of features.
type statusRow struct {
	Jurisdiction policy.Code   `json:"jurisdiction"`
	Places       []policy.Code `json:"places,omitempty"`
	UnknownParts []policy.Code `json:"unknown-parts,omitempty"`
	Phase        policy.Phase  `json:"phase"`
	// Routes are the classes that this is limited to, none if it is about the
	// whole service.
	Routes []string `json:"routes,omitempty"`
	// Since is when Phase began, Sunset when the service is, or was,
	// withdrawn. Zero if the policy gives no date.
	Since  time.Time `json:"since,omitzero"`
	Sunset time.Time `json:"sunset,omitzero"`
	// Schedule lists the transitions to come, in order of time.
	Schedule []policy.Step  `json:"schedule,omitempty"`
	Because  []publicDemand `json:"because,omitempty"`
}

// A representation is a response, but for the time that it is of, and what a client
// gets who has it already. Its tag doesn't go by that time.
type representation struct {
	etag          string // opaque, in quotes
	fields        []Field
	before, after []byte // the time, in a form
	form          string
	notModified   *Response
}

// NewStatus returns the status of markets, as [policy.Snapshot.Public] has them: the
// last is of everything that the others don't hold for. names is that of NewSet.
func NewStatus(markets []policy.PublicMarket, names func(policy.Code) string) *Status {
	s := &Status{rows: statusRows(markets), names: names, locales: newLocales(nil)}
	facts := encodeStatus(markets[len(markets)-1].Phase, s.rows)
	s.version = digest(facts)
	s.pages = make([]atomic.Pointer[representation], len(s.locales.all))
	// Anybody's page may read it: it is public and the same for everybody.
	fields := []Field{{"Content-Type", "application/json"}, {"Access-Control-Allow-Origin", "*"}}
	rest := fmt.Sprintf(`",%s  "version": %q,%s`, "\n", s.version, facts[1:]) // facts begin with a brace
	s.json = newRepresentation([]byte(`{`+"\n"+`  "as-of": "`), []byte(rest), time.RFC3339, fields)
	return s
}

// statusRows returns the rows of markets: for each the whole service, and its
// features. What is open has one where that isn't clear without it.
func statusRows(markets []policy.PublicMarket) []statusRow {
	elsewhere := markets[len(markets)-1]
	rows := []statusRow{} // an empty list in JSON, too
	for _, m := range markets {
		dated := datesIn(m.Zone, m.Jurisdiction)
		schedule := func(steps []policy.Step) []policy.Step {
			steps = slices.Clone(steps)
			for i := range steps {
				steps[i].From = dated(steps[i].From)
			}
			return steps
		}
		row := statusRow{
			Jurisdiction: m.Jurisdiction, Places: m.Places, UnknownParts: m.UnknownParts, Phase: m.Phase,
			Since: dated(m.Since), Sunset: dated(m.Sunset), Schedule: schedule(m.Next), Because: disclose(m.Because, dated),
		}
		isPart := func(code policy.Code) bool { return policy.PlaceOf(code).Subdivisions[0] != "" }
		clear := m.Phase == policy.Open && elsewhere.Phase == policy.Open && len(m.UnknownParts) == 0 && !slices.ContainsFunc(m.Places, isPart)
		if !clear || m.Jurisdiction != policy.Default && len(m.Features) == 0 {
			rows = append(rows, row)
		}
		for _, f := range m.Features {
			row.Phase, row.Routes, row.Since, row.Sunset, row.Schedule = f.Phase, f.Routes, dated(f.Since), dated(f.Sunset), schedule(f.Next)
			rows = append(rows, row)
		}
	}
	return rows
}

// For returns the status at a moment for a request: a page for who prefers HTML,
// JSON for everybody else. accept and acceptLanguage are the lines of the fields of
// these names, ifNoneMatch those of If-None-Match. It never returns nil.
func (s *Status) For(now time.Time, accept, acceptLanguage, ifNoneMatch []string) *Response {
	r := &s.json
	if acceptedFormat(accept) == formatHTML {
		r = s.page(s.locales.choose(acceptLanguage, 0))
	}
	if r.matches(ifNoneMatch) {
		return r.notModified
	}
	at := now.UTC().Format(r.form)
	body := slices.Concat(r.before, []byte(at), r.after)
	return newResponse(200, slices.Clone(r.fields), body)
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

func newRepresentation(before, after []byte, form string, fields []Field) representation {
	etag := `"` + digest(slices.Concat(before, after)) + `"`
	always := []Field{
		// A minute: a transition may be seen that much late, never a change
		// that restricts, which the gateway applies by itself.
		{"Cache-Control", "public, max-age=60"},
		{"Etag", "W/" + etag},
		{"Vary", "Accept, Accept-Language"},
	}
	full := append(slices.Concat(fields, always), Field{"X-Content-Type-Options", "nosniff"})
	return representation{etag, full, before, after, form, newResponse(304, always, nil)}
}

// digest names some content.
func digest(content []byte) string {
	hash := sha256.Sum256(content)
	return base64.RawURLEncoding.EncodeToString(hash[:12])
}

// encodeStatus returns what is public, as JSON without the time and the version.
func encodeStatus(elsewhere policy.Phase, rows []statusRow) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(struct {
		// Default is what a place gets that isn't listed.
		Default policy.Phase `json:"default"`
		Markets []statusRow  `json:"markets"`
	}{elsewhere, rows})
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
	page := executePage("status", s.content(locale))
	i0 := bytes.LastIndex(page, []byte(asOfMark))
	r := newRepresentation(page[:i0:i0], page[i0+len(asOfMark):], "2006-01-02 15:04 UTC", fields)
	s.pages[i].CompareAndSwap(nil, &r)
	return s.pages[i].Load()
}

// asOfMark stands where the time of a page goes, after all that others wrote.
const asOfMark = "AS-OF-THIS-TIME"

// statusContent is what the status page shows.
type statusContent struct {
	Language, Dir string
	Phrases       *phrases.Language
	Markets       []marketContent
	Why           bool // some market has a demand to name
	AsOf, Version string
}

type marketContent struct {
	Name, Code string
	// Places are others that it holds for, UnknownParts those of which it holds
	// where no part is known.
	Places, UnknownParts []string
	Phase                policy.Phase
	PhaseName            string
	Only                 string
	Since                fact
	Next                 []fact // Label is the phase
	Because              []demandContent
}

type demandContent struct {
	demand
	StageName string
	Begins    fact // Label is that of InForce
}

func (s *Status) content(l locale) statusContent {
	lang := l.phrases
	c := statusContent{Language: l.name, Dir: l.dir, Phrases: lang, AsOf: asOfMark, Version: s.version}
	tag := language.Make(lang.Tag)
	name := func(code policy.Code) string { return placeName(code, lang, tag, s.names) }
	for _, m := range s.rows {
		row := marketContent{
			Name:      name(m.Jurisdiction),
			Code:      string(m.Jurisdiction),
			Phase:     m.Phase,
			PhaseName: phaseName(m.Phase, m.Sunset, lang),
		}
		for _, code := range m.Places {
			if code != m.Jurisdiction {
				row.Places = append(row.Places, name(code))
			}
		}
		for _, code := range m.UnknownParts {
			row.UnknownParts = append(row.UnknownParts, name(code))
		}
		if len(m.Routes) > 0 {
			row.Only = feature(lang.Status.Only, strings.Join(m.Routes, ", "))
		}
		if !m.Since.IsZero() {
			row.Since = fact{Value: lang.Day(m.Since), Time: m.Since}
		}
		for _, next := range m.Schedule {
			row.Next = append(row.Next, fact{phaseName(next.Phase, m.Sunset, lang), lang.Day(next.From), next.From})
		}
		for _, d := range quoteDemands(m.Because, reader{l, policy.Default, l.name}) {
			because := demandContent{demand: d, StageName: stageName(d.Stage, lang)}
			if !d.InForce.IsZero() {
				because.Begins = fact{lang.InForce, lang.Day(d.InForce), d.InForce}
			}
			row.Because, c.Why = append(row.Because, because), true
		}
		c.Markets = append(c.Markets, row)
	}
	if n := len(s.rows); n > 0 && s.rows[n-1].Jurisdiction != policy.Default {
		c.Markets = append(c.Markets, marketContent{Name: lang.Status.Elsewhere, PhaseName: phaseName(policy.Open, time.Time{}, lang)})
	}
	return c
}

// phaseName returns the name of a phase in a market whose end, zero if there is none, is
// public: without one, wind-down may be on the way back.
func phaseName(p policy.Phase, sunset time.Time, lang *phrases.Language) string {
	switch {
	case p == policy.WindDown && sunset.IsZero():
		return lang.Status.Limited
	case int(p) < len(lang.Status.Phases):
		return lang.Status.Phases[p]
	}
	return p.String()
}
