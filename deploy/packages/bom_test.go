package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestBOMIsValidByItsSchema(t *testing.T) {
	folder := strings.TrimSpace(succeed(t, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go"))
	const base = "http://cyclonedx.org/schema/"
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	for name, file := range map[string]string{"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json"} {
		if err := compiler.AddResource(base+name, parse(t, filepath.Join(folder, "schema", file))); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile(base + "bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range archs {
		bom := parse(t, released(t).build.bom(arch))
		if err := schema.Validate(bom); err != nil {
			t.Errorf("%s: %v", arch, err)
		}
		bom.(map[string]any)["metadata"].(map[string]any)["component"].(map[string]any)["type"] = "gateway"
		if schema.Validate(bom) == nil {
			t.Errorf("%s: a component of an unknown type is valid: the schema isn't used", arch)
		}
	}
}

// parse reads a file of JSON.
func parse(t *testing.T, path string) any {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	value, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestBOMHasWhatTheProgramHas(t *testing.T) {
	r := released(t)
	var bom cdx.BOM
	if err := json.Unmarshal(read(t, r.build.bom(runtime.GOARCH)), &bom); err != nil {
		t.Fatal(err)
	}
	program := r.build.program("linux", runtime.GOARCH)
	sum, _, _ := strings.Cut(succeed(t, "sha256sum", program), " ")
	if got := (*bom.Metadata.Component.Hashes)[0].Value; got != sum {
		t.Errorf("it is of %s, and the program's SHA-256 is %s", got, sum)
	}
	// As Go's own tool says it: a line of a module is "dep", path, version, sum.
	want := []string{"@ip-location-db/geo-whois-asn-country", "htmx.org", "std"}
	for line := range strings.Lines(succeed(t, "go", "version", "-m", program)) {
		if fields := strings.Fields(line); fields[0] == "dep" {
			want = append(want, fields[1])
		}
	}
	refs := []string{bom.Metadata.Component.BOMRef}
	var got []string
	for _, c := range *bom.Components {
		got, refs = append(got, c.Name), append(refs, c.BOMRef)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, d := range *bom.Dependencies {
		for _, on := range append([]string{d.Ref}, *d.Dependencies...) {
			if !slices.Contains(refs, on) {
				t.Errorf("%s depends on %s, which is no component", d.Ref, on)
			}
		}
		if d.Ref == bom.Metadata.Component.BOMRef && !slices.ContainsFunc(*d.Dependencies, func(on string) bool {
			return strings.HasPrefix(on, "pkg:golang/github.com/spf13/cobra@v")
		}) {
			t.Errorf("the gateway doesn't depend on cobra, which it imports: %q", *d.Dependencies)
		}
	}
}
