package notice

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	htmltemplate "html/template"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/exitgate/exitgate/gateway/notice/phrases"
	"github.com/exitgate/exitgate/policy"
)

// render renders the response in one locale and format.
func (n *notice) render(l int, f format, hidden Hidden, cause policy.Cause, names func(policy.Code) string) *Response {
	c := n.content(l, hidden, cause, names)
	switch f {
	case formatGRPC, formatGRPCWeb:
		return n.grpc(c, f)
	case formatProblem:
		return newResponse(c.Status, n.header(c, "application/problem+json"), problemDetails(n.decision, c))
	case formatHTML:
		header := append(n.header(c, "text/html; charset=utf-8"), pageHeader("; frame-ancestors 'none'")...)
		return newResponse(c.Status, header, executePage("notice", c))
	case formatFrame:
		header := append(n.header(c, "text/html; charset=utf-8"), pageHeader("")...)
		return newResponse(c.Status, append(header, crossOrigin), executePage("notice", c))
	case formatImage:
		header := append(n.header(c, "image/svg+xml"), Field{"Content-Security-Policy", "default-src 'none'"}, crossOrigin)
		return newResponse(c.Status, header, picture(c))
	case formatEmpty:
		return newResponse(c.Status, append(n.header(c, "text/plain; charset=utf-8"), crossOrigin), nil)
	}
	return newResponse(c.Status, n.header(c, "text/plain; charset=utf-8"), plainText(c))
}

func (n *notice) header(c content, contentType string) []Field {
	header := []Field{
		{"Content-Type", contentType},
		{"Content-Language", c.Language},
		{"Vary", "Accept, Accept-Language, Origin, Sec-Fetch-Dest"},
		{"Cache-Control", "no-store"},
		{"X-Content-Type-Options", "nosniff"},
	}
	announcement := Announcement(n.decision)
	if c.Blocked != "" {
		// RFC 7725, section 4. Beside the announcement's Link, which is last.
		blocked := Field{"Link", "<" + c.Blocked + `>; rel="blocked-by"`}
		if last := len(announcement) - 1; last >= 0 {
			announcement = append(announcement[:last], blocked, announcement[last])
		} else {
			announcement = []Field{blocked}
		}
	}
	return append(header, announcement...)
}

// problemTypes is where the problem types are described, each by the phase
// that it comes from, or as feature or guarantee.
const problemTypes = "https://github.com/exitgate/exitgate/blob/main/docs/policy.md#"

// problemDetails returns the body of RFC 9457. The extension members have an underscore where
// other names of exitgate have a hyphen, as its section 3.2 wants; the names
// within them don't.
//
// Together they say what RFC 7725, section 3, wants said: who demands (because:
// authority), by what law (because: title, source), of whom (jurisdiction) and
// what is refused (class). Without because, the policy gives no demand or may
// not disclose it. guarantees are the statements, in the operator's words,
// of what would not hold if the service were offered.
func problemDetails(d *policy.Decision, c content) []byte {
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
		UnknownPart  bool        `json:"unknown_part,omitempty"`
		Phase        string      `json:"phase"`
		Class        string      `json:"class"`
		Since        time.Time   `json:"since,omitzero"`
		Sunset       time.Time   `json:"sunset,omitzero"`
		Because      []demand    `json:"because,omitempty"`
		Guarantees   []quotation `json:"guarantees,omitempty"`
		BlockedBy    string      `json:"blocked_by,omitempty"`
		Appeal       string      `json:"appeal,omitempty"`
		Export       string      `json:"export,omitempty"`
		SignIn       string      `json:"sign_in,omitempty"`
		Delete       string      `json:"delete_account,omitempty"`
		Refunds      string      `json:"refunds,omitempty"`
		MarketStatus string      `json:"market_status"`
	}{
		problemTypes + kind, c.Title.String(), c.Status, c.Lead.String(), c.Language,
		d.Jurisdiction, c.Facts[0].Value, d.Reason == policy.ByUnknownPart, d.Phase.String(), d.Class,
		c.Since, c.Sunset, c.Because, c.Promise, c.Blocked, c.Appeal, c.Export,
		c.SignIn, c.DeleteAccount, c.Refunds, policy.StatusPath,
	})
	if err != nil {
		panic(err) // strings and times in their range can be encoded
	}
	return body.Bytes()
}

func plainText(c content) []byte {
	var b strings.Builder
	lang := c.Phrases
	fmt.Fprintf(&b, "%s\n\n%s\n", c.Title, c.Lead)
	if works := c.Works(); len(works) > 0 {
		fmt.Fprintf(&b, "\n%s%s\n", lang.StillWorks, strings.TrimRight(lang.Colon, " "))
		for _, work := range works {
			fmt.Fprintf(&b, "- %s%s%s\n", work.Label, lang.Colon, work.Value)
		}
	}
	link := func(label, address string) {
		if address != "" {
			fmt.Fprintf(&b, "%s%s%s\n", label, lang.Colon, address)
		}
	}
	if c.Export != "" {
		fmt.Fprintf(&b, "\n%s\n", lang.HowToExport)
		link(lang.Export, c.Export)
	}
	b.WriteByte('\n')
	for _, f := range append(c.Facts, c.why(demand.Cited)...) {
		fmt.Fprintf(&b, "%s%s%s\n", f.Label, lang.Colon, f.Value)
	}
	fmt.Fprintf(&b, "\n%s\n", lang.WrongPlace)
	if c.Appeal != "" {
		fmt.Fprintf(&b, "%s\n", lang.HowToAppeal)
		link(lang.Appeal, c.Appeal)
	}
	b.WriteByte('\n')
	link(lang.BlockedBy, c.Blocked)
	link(lang.Status.Title, policy.StatusPath)
	return []byte(b.String())
}

// permissionDenied is gRPC's status for a caller who may not do this,
// whoever they are.
const permissionDenied = "7"

// grpc renders a Trailers-Only response: the trailers are sent as header, and
// end the stream.
func (n *notice) grpc(c content, f format) *Response {
	contentType := "application/grpc"
	if f == formatGRPCWeb {
		contentType = "application/grpc-web+proto"
	}
	lang := c.Phrases
	message := c.Title.String() + " " + inBrackets(c.Facts, lang)
	if c.Appeal != "" {
		message += " " + lang.Appeal + lang.Colon + c.Appeal
	}
	// Last, as the message may be cut off and the operator's texts may be long.
	if why := c.why(demand.String); len(why) > 0 {
		message += " " + inBrackets(why, lang)
	}
	header := []Field{
		{"Content-Type", contentType},
		{"Grpc-Status", permissionDenied},
		{"Grpc-Message", grpcMessage(message)},
		{"Cache-Control", "no-store"},
	}
	return newResponse(200, append(header, Announcement(n.decision)...), nil)
}

func inBrackets(facts []fact, lang *phrases.Language) string {
	lines := make([]string, 0, len(facts))
	for _, f := range facts {
		lines = append(lines, f.Label+lang.Colon+f.Value)
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

// pageTemplates parses the pages when the first one is rendered: most of the
// command's verbs never do.
var pageTemplates = sync.OnceValue(func() *htmltemplate.Template {
	// The style is the only part that isn't escaped, and its hash is what the
	// Content-Security-Policy allows.
	style := htmltemplate.HTML("<style>" + styleCSS + "</style>")
	return htmltemplate.Must(htmltemplate.New("").Funcs(htmltemplate.FuncMap{
		"style":      func() htmltemplate.HTML { return style },
		"statusPath": func() string { return policy.StatusPath },
		"datetime":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	}).Parse(pageHTML))
})

func executePage(name string, data any) []byte {
	var b bytes.Buffer
	if err := pageTemplates().ExecuteTemplate(&b, name, data); err != nil {
		panic(err) // the tests render every template, and a buffer doesn't fail
	}
	return b.Bytes()
}

// crossOrigin lets pages from elsewhere that isolate themselves embed a response.
var crossOrigin = Field{"Cross-Origin-Resource-Policy", "cross-origin"}

// pageHeader allows a page its own style and nothing else, with what is said of
// who may frame it.
func pageHeader(framing string) []Field {
	hash := sha256.Sum256([]byte(styleCSS))
	return []Field{
		{"Content-Security-Policy", "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
			"'; base-uri 'none'; form-action 'none'" + framing},
		{"Referrer-Policy", "no-referrer"},
	}
}
