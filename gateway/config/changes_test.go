package config_test

import (
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/config"
)

func TestChangesAreNamedByTheirPlaceInTheFile(t *testing.T) {
	for name, test := range map[string]struct {
		change       func(*config.Config)
		all, restart []string
	}{
		"nothing":           {func(*config.Config) {}, nil, nil},
		"an empty list":     {func(c *config.Config) { c.ProxyProtocol, c.Apps = []netip.Prefix{}, []config.App{} }, nil, nil},
		"what reloads":      {func(c *config.Config) { c.Limits.Body, c.ClientHeader = 1, "Forwarded" }, []string{"client-header", "limits.body"}, nil},
		"in what reloads":   {func(c *config.Config) { c.TLS.HSTS.MaxAge = time.Hour }, []string{"tls.hsts.max-age"}, nil},
		"an app":            {func(c *config.Config) { c.Apps = []config.App{{Hosts: []string{"a.example"}}} }, []string{"apps"}, nil},
		"what restarts":     {func(c *config.Config) { c.Listen.HTTP.Serve = true }, []string{"listen.http.serve"}, []string{"listen.http.serve"}},
		"some of both":      {func(c *config.Config) { c.Caches.KeyHeader, c.Drain = "X", 1 }, []string{"caches.key-header", "drain"}, []string{"drain"}},
		"in what has parts": {func(c *config.Config) { c.Policy.Ledger.NATS = []string{"nats://a"} }, []string{"policy.ledger.nats"}, []string{"policy.ledger.nats"}},
	} {
		c := config.Default()
		test.change(&c)
		all, restart := config.Changes(config.Default(), c)
		if !slices.Equal(all, test.all) || !slices.Equal(restart, test.restart) {
			t.Errorf("%s: changed are %v, and %v restart", name, all, restart)
		}
	}
}

// The documentation lists what changes without a restart, and what doesn't.
func TestTheDocumentationSaysWhatChangesWithoutARestart(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var reloads, restarts []string
	list("", reflect.TypeFor[config.Config](), &reloads, &restarts)
	for row, want := range map[string][]string{"read again": reloads, "take a restart": restarts} {
		cells := regexp.MustCompile(`(?m)^\| ` + row + ` \| (.*) \|$`).FindStringSubmatch(string(text))
		if cells == nil {
			t.Errorf("there is no row %q", row)
			continue
		}
		said := strings.Split(strings.ReplaceAll(cells[1], "`", ""), ", ")
		slices.Sort(said)
		slices.Sort(want)
		if diff := cmp.Diff(want, said); diff != "" {
			t.Errorf("%s:\n%s", row, diff)
		}
	}
}

// list adds the settings below a path to one of the lists, and those of a part of which
// all restart as one.
func list(path string, t reflect.Type, reloads, restarts *[]string) {
	for i := range t.NumField() {
		field := t.Field(i)
		at := strings.TrimPrefix(path+"."+field.Tag.Get("yaml"), ".")
		var below, others []string
		switch {
		case field.Tag.Get("reload") == "true":
			*reloads = append(*reloads, at)
			continue
		case field.Type.Kind() == reflect.Struct:
			list(at, field.Type, &below, &others)
		}
		if len(below) == 0 {
			others = []string{at}
		}
		*reloads, *restarts = append(*reloads, below...), append(*restarts, others...)
	}
}

func TestFilesAreRelativeToTheFolderOfTheSettings(t *testing.T) {
	const source = `
apps: [{hosts: ["*"], upstreams: ["https://127.0.0.1:3000"], secret-file: a/secret, ca: /etc/ca.pem, cert: ../a.crt, key: a.key}]
tls: {files: [{cert: b.crt, key: b.key}]}
policy: {file: policy.yaml}
geo: {databases: [embedded, city.mmdb], corrections: [a.csv]}
access-log: {file: "-"}
data: state
`
	c, err := config.Parse("/srv/gate/exitgate.yaml", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	a := c.Apps[0]
	got := slices.Concat([]string{a.SecretFile, a.CA, a.Cert, a.Key, c.TLS.Files[0].Cert, c.TLS.Files[0].Key, c.Policy.File}, c.Geo.Databases, c.Geo.Corrections, []string{c.AccessLog.File, c.Data})
	want := []string{
		"/srv/gate/a/secret", "/etc/ca.pem", "/srv/a.crt", "/srv/gate/a.key", "/srv/gate/b.crt", "/srv/gate/b.key", "/srv/gate/policy.yaml",
		"embedded", "/srv/gate/city.mmdb", "/srv/gate/a.csv", "-", "/srv/gate/state",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if c, err := config.Parse("/dev/stdin", []byte(source)); err != nil || c.Policy.File != "policy.yaml" {
		t.Errorf("of a pipe it is %q, %v", c.Policy.File, err)
	}
}

// Whatever setting says that it is a file is resolved.
func TestEachFileOfTheSettingsIsRelative(t *testing.T) {
	var fields func(reflect.Type)
	seen := map[reflect.Type]bool{}
	fields = func(at reflect.Type) {
		for at.Kind() == reflect.Slice {
			at = at.Elem()
		}
		if at.Kind() != reflect.Struct || seen[at] {
			return
		}
		seen[at] = true
		for i := range at.NumField() {
			field := at.Field(i)
			_, tagged := field.Tag.Lookup("file")
			if doc := field.Tag.Get("doc"); !tagged && regexp.MustCompile(`^(File|Folder|Certificate chain|Private key)|private key, PEM`).MatchString(doc) {
				t.Errorf("%s.%s has no file tag", at.Name(), field.Name)
			}
			fields(field.Type)
		}
	}
	fields(reflect.TypeFor[config.Config]())
}
