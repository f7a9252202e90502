package notice

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/exitgate/exitgate/gateway/notice/phrases"
	"github.com/exitgate/exitgate/policy"
)

// render makes the answer in one tongue and format.
func (p *page) render(t int, f format, cause policy.Cause, names func(policy.Code) string) *Answer {
	w := p.words(t, cause, names)
	switch f {
	case asGRPC, asGRPCWeb:
		return p.grpc(w, f)
	case asProblem:
		return newAnswer(w.Status, p.header(w, "application/problem+json"), problemDetails(p.decision, w))
	case asPage:
		header := append(p.header(w, "text/html; charset=utf-8"), pageFields()...)
		return newAnswer(w.Status, header, execute("notice", w))
	}
	return newAnswer(w.Status, p.header(w, "text/plain; charset=utf-8"), plainText(w))
}

func (p *page) header(w words, contentType string) []Field {
	header := []Field{
		{"Content-Type", contentType},
		{"Content-Language", w.Language},
		{"Vary", "Accept, Accept-Language"},
		{"Cache-Control", "no-store"},
		{"X-Content-Type-Options", "nosniff"},
	}
	announcement := Announcement(p.decision)
	if w.Blocked != "" {
		// RFC 7725, section 4. Beside the announcement's Link, which is last.
		blocked := Field{"Link", "<" + w.Blocked + `>; rel="blocked-by"`}
		if n := len(announcement); n > 0 {
			announcement = append(announcement[:n-1], blocked, announcement[n-1])
		} else {
			announcement = []Field{blocked}
		}
	}
	return append(header, announcement...)
}

// problemTypes is where the problem types are described, each by the phase
// that it comes from, or as feature or guarantee.
const problemTypes = "https://github.com/exitgate/exitgate/blob/main/docs/policy.md#"

// problemDetails is RFC 9457. The extension members have an underscore where
// other names of exitgate have a hyphen, as its section 3.2 wants; the names
// within them don't.
//
// Together they say what RFC 7725, section 3, wants said: who demands (because:
// authority), by what law (because: title, source), of whom (jurisdiction) and
// what is refused (class). Without because, the policy gives no demand or may
// not disclose it. guarantees are the statements, in the operator's language,
// of what would not hold if the service were offered.
func problemDetails(d *policy.Decision, w words) []byte {
	kind := d.Phase.String()
	switch {
	case d.Reason == policy.ByGuarantee:
		kind = d.Reason.String()
	case d.Feature:
		kind = "feature"
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // it is neither HTML nor can it be sniffed as such
	encoder.SetIndent("", "  ")
	err := encoder.Encode(struct {
		Type         string      `json:"type"`
		Title        string      `json:"title"`
		Status       int         `json:"status"`
		Detail       string      `json:"detail"`
		Language     string      `json:"language"`
		Jurisdiction policy.Code `json:"jurisdiction"`
		Place        string      `json:"place"`
		Phase        string      `json:"phase"`
		Class        string      `json:"class"`
		Since        time.Time   `json:"since,omitzero"`
		Sunset       time.Time   `json:"sunset,omitzero"`
		Because      []demand    `json:"because,omitempty"`
		Guarantees   []string    `json:"guarantees,omitempty"`
		BlockedBy    string      `json:"blocked_by,omitempty"`
		Appeal       string      `json:"appeal,omitempty"`
		Export       string      `json:"export,omitempty"`
		MarketStatus string      `json:"market_status"`
	}{
		problemTypes + kind, w.Title.String(), w.Status, w.Lead.String(), w.Language,
		d.Jurisdiction, w.Facts[0].Value, d.Phase.String(), d.Class,
		d.Since.UTC(), d.Sunset.UTC(), w.Because, w.Promise, w.Blocked, w.Appeal, w.Export, policy.StatusPath,
	})
	if err != nil {
		panic(err) // strings and times in their range can be encoded
	}
	return body.Bytes()
}

func plainText(w words) []byte {
	var b strings.Builder
	say := w.Say
	fmt.Fprintf(&b, "%s\n\n%s\n", w.Title, w.Lead)
	if len(w.Works) > 0 {
		fmt.Fprintf(&b, "\n%s%s\n", say.StillWorks, strings.TrimRight(say.Colon, " "))
		for _, work := range w.Works {
			fmt.Fprintf(&b, "- %s\n", work)
		}
	}
	link := func(label, address string) {
		if address != "" {
			fmt.Fprintf(&b, "%s%s%s\n", label, say.Colon, address)
		}
	}
	if w.Export != "" {
		fmt.Fprintf(&b, "\n%s\n", say.HowToExport)
		link(say.Export, w.Export)
	}
	b.WriteByte('\n')
	for _, f := range append(w.Facts, w.why(demand.Cited)...) {
		fmt.Fprintf(&b, "%s%s%s\n", f.Label, say.Colon, f.Value)
	}
	fmt.Fprintf(&b, "\n%s\n", say.WrongPlace)
	if w.Appeal != "" {
		fmt.Fprintf(&b, "%s\n", say.HowToAppeal)
		link(say.Appeal, w.Appeal)
	}
	b.WriteByte('\n')
	link(say.BlockedBy, w.Blocked)
	link(say.Status.Title, policy.StatusPath)
	return []byte(b.String())
}

// permissionDenied is gRPC's status for a caller who may not do this,
// whoever they are.
const permissionDenied = "7"

// grpc is a Trailers-Only response: the trailers are sent as header, and end
// the stream.
func (p *page) grpc(w words, f format) *Answer {
	contentType := "application/grpc"
	if f == asGRPCWeb {
		contentType = "application/grpc-web+proto"
	}
	say := w.Say
	message := w.Title.String() + " " + inBrackets(w.Facts, say)
	if w.Appeal != "" {
		message += " " + say.Appeal + say.Colon + w.Appeal
	}
	// Last, as the message may be cut off and the operator's texts may be long.
	if why := w.why(demand.String); len(why) > 0 {
		message += " " + inBrackets(why, say)
	}
	header := []Field{
		{"Content-Type", contentType},
		{"Grpc-Status", permissionDenied},
		{"Grpc-Message", grpcMessage(message)},
		{"Cache-Control", "no-store"},
	}
	return newAnswer(200, append(header, Announcement(p.decision)...), nil)
}

func inBrackets(facts []fact, say *phrases.Book) string {
	lines := make([]string, 0, len(facts))
	for _, f := range facts {
		lines = append(lines, f.Label+say.Colon+f.Value)
	}
	return "(" + strings.Join(lines, "; ") + ")"
}

// maxMessageBytes bounds a gRPC message before it is encoded. Clients accept
// header lists of 8 KB at least.
const maxMessageBytes = 1 << 10

// grpcMessage percent-encodes UTF-8 as "gRPC over HTTP2" wants: all but space
// and printable ASCII without the percent sign.
func grpcMessage(message string) string {
	for len(message) > maxMessageBytes {
		_, size := utf8.DecodeLastRuneInString(message)
		message = message[:len(message)-size]
	}
	var b strings.Builder
	for _, c := range []byte(message) {
		if c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

var (
	//go:embed page.html
	pageHTML string
	//go:embed style.css
	styleCSS string
)

// templates parses the pages when the first one is rendered: most of the
// command's verbs never do.
var templates = sync.OnceValue(func() *template.Template {
	// The style is the only part that isn't escaped, and its hash is what the
	// Content-Security-Policy allows.
	style := template.HTML("<style>" + styleCSS + "</style>")
	return template.Must(template.New("").Funcs(template.FuncMap{
		"style":      func() template.HTML { return style },
		"statusPath": func() string { return policy.StatusPath },
		"datetime":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	}).Parse(pageHTML))
})

func execute(name string, data any) []byte {
	var b bytes.Buffer
	if err := templates().ExecuteTemplate(&b, name, data); err != nil {
		panic(err) // the tests render every template, and a buffer doesn't fail
	}
	return b.Bytes()
}

// pageFields allow a page its own style and nothing else.
var pageFields = sync.OnceValue(func() []Field {
	hash := sha256.Sum256([]byte(styleCSS))
	return []Field{
		{"Content-Security-Policy", "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
		{"Referrer-Policy", "no-referrer"},
	}
})
