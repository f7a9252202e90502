package notice_test

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/policy"
)

// C12: a refusal fits where a browser wants to put it.
func TestARefusalFitsItsDestination(t *testing.T) {
	b := newSet(t, linked, everyKind...)
	for destination, want := range map[string]struct{ contentType, policy string }{
		"":         {"text/html; charset=utf-8", "frame-ancestors 'none'"},
		"document": {"text/html; charset=utf-8", "frame-ancestors 'none'"},
		"empty":    {"text/html; charset=utf-8", "frame-ancestors 'none'"}, // fetch says by Accept what it wants
		"iframe":   {"text/html; charset=utf-8", "form-action 'none'"},
		"frame":    {"text/html; charset=utf-8", "form-action 'none'"},
		"object":   {"text/html; charset=utf-8", "form-action 'none'"},
		"image":    {"image/svg+xml", "default-src 'none'"},
		"script":   {"text/plain; charset=utf-8", ""},
		"style":    {"text/plain; charset=utf-8", ""},
		"font":     {"text/plain; charset=utf-8", ""},
		"video":    {"text/plain; charset=utf-8", ""},
	} {
		a := b.For(withdrawn, 0, []string{"text/html"}, []string{"en"}, "", destination)
		if a.Status != 451 || get(a, "Content-Type") != want.contentType || !strings.HasSuffix(get(a, "Content-Security-Policy"), want.policy) {
			t.Errorf("%q gets %d, %v", destination, a.Status, a.Header)
		}
		if isEmpty := len(a.Body) == 0; isEmpty != (want.policy == "") {
			t.Errorf("%q gets %d bytes", destination, len(a.Body))
		}
		if framed := strings.Contains(get(a, "Content-Security-Policy"), "frame-ancestors"); framed != strings.HasPrefix(want.policy, "frame") {
			t.Errorf("%q: %s", destination, get(a, "Content-Security-Policy"))
		}
		if get(a, "Link") == "" || !strings.Contains(get(a, "Vary"), "Sec-Fetch-Dest") {
			t.Errorf("%q lacks Link or Vary", destination)
		}
	}
	if a := b.For(withdrawn, 0, []string{"application/json"}, nil, "", "iframe"); get(a, "Content-Type") != "application/problem+json" {
		t.Errorf("a frame that accepts JSON gets %s", get(a, "Content-Type"))
	}
	if a := b.For(withdrawn, 0, nil, nil, "application/grpc-web", "image"); a.Status != 200 {
		t.Errorf("gRPC gets %d", a.Status)
	}
}

func TestAPictureSaysItInAllLanguagesAndIsXML(t *testing.T) {
	hostile := policy.Notice{Texts: map[string]policy.Text{"en": {
		Title: `</text><script>"&` + "\x01\x1b\xff\ufffe", Body: strings.Repeat("<b>", 300) + " " + strings.Repeat("words of some length ", 200),
	}}}
	for _, n := range []policy.Notice{linked, hostile} {
		b := newSet(t, n, everyKind...)
		for _, d := range everyKind {
			for _, language := range []string{"en", "fr", "ar", "ja", "zh", "hi"} {
				a := b.For(d, 0, nil, []string{language}, "", "image")
				decoder := xml.NewDecoder(strings.NewReader(string(a.Body)))
				for text := 0; ; {
					token, err := decoder.Token()
					if err == io.EOF {
						if text < 2 || text > 40 {
							t.Errorf("%d lines:\n%s", text, a.Body)
						}
						break
					}
					if err != nil {
						t.Fatalf("%v in\n%s", err, a.Body)
					}
					if e, ok := token.(xml.StartElement); ok {
						switch e.Name.Local {
						case "text":
							text++
						case "svg", "title", "rect":
						default:
							t.Fatalf("there is a %s in\n%s", e.Name.Local, a.Body)
						}
					}
				}
			}
		}
	}
	golden(t, "withdrawn-picture-fr", wire(newSet(t, linked, everyKind...).For(withdrawn, 0, nil, []string{"fr"}, "", "image")))
	golden(t, "withdrawn-picture-ar", wire(newSet(t, linked, everyKind...).For(withdrawn, 0, nil, []string{"ar"}, "", "image")))
}
