package notice_test

import (
	"testing"

	"github.com/exitgate/exitgate/policy"
)

func TestTheFormatFollowsAccept(t *testing.T) {
	const (
		text    = "text/plain; charset=utf-8"
		problem = "application/problem+json"
		page    = "text/html; charset=utf-8"
	)
	for _, c := range []struct {
		client string
		accept []string
		want   string
	}{
		{"a client that says nothing gets text", nil, text},
		{"curl, which takes anything, gets text", []string{"*/*"}, text},
		{"a browser gets a page", []string{"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"}, page},
		{"an image gets text", []string{"image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"}, text},
		{"an API client gets problem details", []string{"application/json"}, problem},
		{"an API client that knows them gets problem details", []string{"application/problem+json"}, problem},
		{"axios gets problem details, which it names first", []string{"application/json, text/plain, */*"}, problem},
		{"who names text first gets text", []string{"text/plain, application/json"}, text},
		{"who would rather have a page gets one", []string{"application/json;q=0.5, text/html"}, page},
		{"who would rather have JSON gets it", []string{"text/html;q=0.8, application/json;q=0.9"}, problem},
		{"any application type is JSON", []string{"application/*"}, problem},
		{"any text type is plain text", []string{"text/*"}, text},
		{"a vendor's JSON is JSON", []string{"application/vnd.api+json"}, problem},
		{"XHTML is a page", []string{"application/xhtml+xml"}, page},
		{"the closest range decides on the quality", []string{"text/*;q=0.3, text/html;q=0.7, */*;q=0.5"}, page},
		{"what is excluded is not sent, though a wildcard would cover it", []string{"text/plain;q=0, */*"}, problem},
		{"what is excluded is not sent, though nothing else fits", []string{"text/html;q=0"}, text},
		{"who accepts nothing of it gets text and not 406", []string{"application/xml, audio/*"}, text},
		{"who excludes everything gets text", []string{"*/*;q=0"}, text},
		{"an empty line says nothing", []string{"", " , ,"}, text},
		{"upper case is the same", []string{"TEXT/HTML;Q=1.000"}, page},
		{"parameters are ignored", []string{"text/html;level=1;charset=utf-8"}, page},
		{"a quality that makes no sense drops its range", []string{"text/html;q=2, application/json;q=0.1"}, problem},
		{"garbage says nothing", []string{"\x00/;;;==,/,html,text"}, text},
	} {
		t.Run(c.client, func(t *testing.T) {
			a := newSet(t, policy.Notice{}, withdrawn).For(withdrawn, 0, c.accept, nil, "", "")
			if got := get(a, "Content-Type"); got != c.want {
				t.Errorf("Accept %q gets %s, want %s", c.accept, got, c.want)
			}
		})
	}
}

func TestGRPCClientsAreKnownByTheirContentType(t *testing.T) {
	for contentType, want := range map[string]string{
		"application/grpc":                  "application/grpc",
		"application/grpc+proto":            "application/grpc",
		"application/grpc+json":             "application/grpc",
		"application/grpc; charset=utf-8":   "application/grpc",
		"Application/GRPC":                  "application/grpc",
		"application/grpc-web":              "application/grpc-web+proto",
		"application/grpc-web+proto":        "application/grpc-web+proto",
		"application/grpc-web-text":         "application/grpc-web+proto",
		"application/grpc-web-text+proto":   "application/grpc-web+proto",
		"application/grpcx":                 "text/html; charset=utf-8",
		"application/grpc-webby":            "text/html; charset=utf-8",
		"application/json":                  "text/html; charset=utf-8",
		"application/x-www-form-urlencoded": "text/html; charset=utf-8",
		"":                                  "text/html; charset=utf-8",
	} {
		a := newSet(t, policy.Notice{}, withdrawn).For(withdrawn, 0, []string{"text/html"}, nil, contentType, "")
		if got := get(a, "Content-Type"); got != want {
			t.Errorf("%q is answered with %s, want %s", contentType, got, want)
		}
	}
}
