package notice_test

import (
	"testing"

	"github.com/exitgate/exitgate/policy"
)

func FuzzWhateverAClientSendsItGetsANotice(f *testing.F) {
	f.Add("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "")
	f.Add("*/*", "*", "application/grpc+proto")
	f.Add(`application/json;profile="a,b\"c";q=0.001`, "zh-Hant-TW;q=1.000", "application/grpc-web-text+proto")
	f.Add("text/html;q=0, */*;q=0", "fr;q=0,en;q=0", "application/grpc-web")
	f.Add(";;,,==\"", "-_-;q=.;q", "application/grp")
	n := linked
	n.Texts = map[string]policy.Text{"nl": {Title: "Weg"}, "en-GB": {Body: "Gone.\n\nReally."}}
	b := newSet(f, n, everyKind...)
	locales := map[string]bool{"nl": true, "en-GB": true, "en": true, "fr": true, "de": true, "es": true, "pt": true, "it": true, "ru": true,
		"ar": true, "tr": true, "zh-Hans": true, "zh-Hant": true, "ja": true, "hi": true, "id": true, "pl": true, "sv": true, "el": true, "cs": true, "ro": true, "hu": true, "uk": true, "ko": true, "pt-PT": true}
	f.Fuzz(func(t *testing.T, accept, acceptLanguage, contentType string) {
		for _, d := range everyKind {
			a := b.For(d, 0, []string{accept}, []string{acceptLanguage}, contentType, "")
			if a != b.For(d, 0, []string{accept}, []string{acceptLanguage}, contentType, "") {
				t.Error("asked again, another notice")
			}
			switch get(a, "Content-Type") {
			case "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/problem+json":
				if a.Status != 451 || len(a.Body) == 0 || !locales[get(a, "Content-Language")] {
					t.Error(wire(a))
				}
			case "application/grpc", "application/grpc-web+proto":
				if a.Status != 200 || len(a.Body) != 0 || get(a, "Grpc-Status") != "7" {
					t.Error(wire(a))
				}
			default:
				t.Error(wire(a))
			}
		}
	})
}
