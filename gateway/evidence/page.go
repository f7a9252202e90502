package evidence

import (
	_ "embed"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/policy/changes"
)

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("evidence").Funcs(template.FuncMap{
	"time": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"join": strings.Join,
	"line": func(r Record) ledger.Record {
		read, _ := ledger.Decode(r.data()) // Verify says what is wrong with it
		return read
	},
	"summary": func(r ledger.Record) string {
		d, _ := changes.Describe(recordOf(r))
		return d.Summary
	},
	"text": func(f File, number uint64) string {
		for _, r := range f.Records {
			if read, err := ledger.Decode(r.data()); err == nil && read.Number == number {
				d, _ := changes.Describe(recordOf(read))
				return string(d.Policy)
			}
		}
		return ""
	},
}).Parse(pageSource))

// WritePage writes a page about a file with a SHA-256, for people and to be printed.
func (f File) WritePage(w io.Writer, sha256 ledger.Hash) error {
	return pageTemplate.Execute(w, struct {
		File
		SHA256 ledger.Hash
	}{f, sha256})
}
