package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

const (
	module  = "github.com/exitgate/exitgate"
	library = "std" // stands for the modules of Go's standard library
)

// bom returns the path of the bill of materials of the program for an architecture.
func (b build) bom(arch string) string { return b.made("exitgate-" + arch + ".cdx.json") }

// writeBOM writes a bill of materials of the program for an architecture
// (CycloneDX 1.6, ECMA-424): the modules that the linker put into it, as it says
// itself, which of them imports which, and what else is embedded.
func (b build) writeBOM(arch string, about description) error {
	program, err := os.ReadFile(b.program("linux", arch))
	if err != nil {
		return err
	}
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return err
	}
	imports, err := b.imports(arch)
	if err != nil {
		return err
	}
	embedded, err := b.embedded(about)
	if err != nil {
		return err
	}

	components := modules(info)
	components[module] = b.gateway(info, program)
	bom := &cdx.BOM{
		JSONSchema:   "http://cyclonedx.org/schema/bom-1.6.schema.json",
		BOMFormat:    cdx.BOMFormat,
		SpecVersion:  cdx.SpecVersion1_6,
		SerialNumber: serialNumber(program),
		Version:      1,
		Metadata: &cdx.Metadata{
			Timestamp:  b.time.Format(time.RFC3339),
			Lifecycles: &[]cdx.Lifecycle{{Phase: cdx.LifecyclePhaseBuild}},
			Tools: &cdx.ToolsChoice{Components: &[]cdx.Component{
				{Type: cdx.ComponentTypeApplication, Name: module + "/deploy/packages", Version: b.version}}},
			Component: new(components[module]),
		},
		Components:   new([]cdx.Component),
		Dependencies: new([]cdx.Dependency),
	}
	for _, path := range slices.Sorted(maps.Keys(components)) {
		if path != module {
			*bom.Components = append(*bom.Components, components[path])
		}
		on := []string{}
		for _, imported := range slices.Sorted(maps.Keys(imports[path])) {
			if _, ok := components[imported]; !ok {
				return fmt.Errorf("%s imports %s, which the program doesn't say that it has", path, imported)
			}
			on = append(on, components[imported].BOMRef)
		}
		if path == module {
			for _, c := range embedded {
				on = append(on, c.BOMRef)
			}
		}
		*bom.Dependencies = append(*bom.Dependencies, cdx.Dependency{Ref: components[path].BOMRef, Dependencies: &on})
	}
	*bom.Components = append(*bom.Components, embedded...)

	var text bytes.Buffer
	encoder := cdx.NewBOMEncoder(&text, cdx.BOMFileFormatJSON)
	if err := encoder.SetPretty(true).SetEscapeHTML(false).Encode(bom); err != nil {
		return err
	}
	return os.WriteFile(b.bom(arch), text.Bytes(), 0o644)
}

// gateway returns the component that the bill is about.
func (b build) gateway(info *debug.BuildInfo, program []byte) cdx.Component {
	c := component(cdx.ComponentTypeApplication, "golang", module, b.version)
	c.Name = "exitgate"
	c.Hashes = hashes(program)
	c.Licenses = &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}}
	c.ExternalReferences = &[]cdx.ExternalReference{{Type: cdx.ERTypeVCS, URL: "https://" + module}}
	c.Properties = &[]cdx.Property{{Name: "exitgate:commit", Value: b.commit}}
	for _, s := range info.Settings {
		*c.Properties = append(*c.Properties, cdx.Property{Name: "go:build:" + s.Key, Value: s.Value})
	}
	return c
}

// modules returns a component for each module that is in a program but the main one,
// by its path.
func modules(info *debug.BuildInfo) map[string]cdx.Component {
	all := map[string]cdx.Component{
		library: component(cdx.ComponentTypeLibrary, "golang", library, strings.TrimPrefix(info.GoVersion, "go")),
	}
	for _, m := range info.Deps {
		used := cmp.Or(m.Replace, m)
		c := component(cdx.ComponentTypeLibrary, "golang", used.Path, used.Version)
		// Not a hash of a file, as CycloneDX means them: that of a module's files in go.sum.
		c.Properties = &[]cdx.Property{{Name: "go:sum", Value: used.Sum}}
		all[m.Path] = c
	}
	return all
}

// imports returns which modules the packages of each import, of those in the
// program for an architecture.
func (b build) imports(arch string) (map[string]map[string]bool, error) {
	type goPackage struct {
		ImportPath string
		Standard   bool
		Imports    []string
		Module     *struct{ Path string }
	}
	listed, err := b.goCommand("linux", arch, "list", "-deps", "-json=ImportPath,Standard,Imports,Module", "./cmd/exitgate").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []goPackage
	moduleOf := make(map[string]string)
	for decoder := json.NewDecoder(bytes.NewReader(listed)); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		packages = append(packages, p)
		moduleOf[p.ImportPath] = library
		if p.Module != nil {
			moduleOf[p.ImportPath] = p.Module.Path
		}
	}
	all := make(map[string]map[string]bool)
	for _, p := range packages {
		from := moduleOf[p.ImportPath]
		if from == library {
			continue // of itself only
		}
		if all[from] == nil {
			all[from] = make(map[string]bool)
		}
		for _, path := range p.Imports {
			if to := moduleOf[path]; to != from {
				all[from][to] = true
			}
		}
	}
	return all, nil
}

// embedded returns what is in the program and is no module.
func (b build) embedded(about description) ([]cdx.Component, error) {
	file, err := os.Open(filepath.Join(b.root, "gateway/geo/country.tree.gz"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	header, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	name, version, _ := strings.Cut(header.Comment, " ")
	places := component(cdx.ComponentTypeData, "npm", name, version)
	places.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: about.Database}}
	places.Licenses = &cdx.Licenses{{Expression: "CC0-1.0 AND CC-BY-4.0"}}

	script, err := os.ReadFile(filepath.Join(b.root, "gateway/console/assets/htmx.js"))
	if err != nil {
		return nil, err
	}
	said := regexp.MustCompile(`version="([0-9.]+)"`).FindSubmatch(script)
	if said == nil {
		return nil, errors.New("htmx.js says no version")
	}
	htmx := component(cdx.ComponentTypeLibrary, "npm", "htmx.org", string(said[1]))
	htmx.Hashes = hashes(script)
	htmx.Licenses = &cdx.Licenses{{License: &cdx.License{ID: "0BSD"}}}
	return []cdx.Component{places, htmx}, nil
}

// component returns a component that is known by its package URL
// (https://github.com/package-url/purl-spec), by which others refer to it, too.
func component(kind cdx.ComponentType, registry, name, version string) cdx.Component {
	segments := strings.Split(name, "/")
	for i, s := range segments {
		segments[i] = strings.ReplaceAll(url.PathEscape(s), "@", "%40")
	}
	purl := "pkg:" + registry + "/" + strings.ToLower(strings.Join(segments, "/")) + "@" + strings.ReplaceAll(url.PathEscape(version), "+", "%2B")
	return cdx.Component{BOMRef: purl, Type: kind, Name: name, Version: version, PackageURL: purl}
}

func hashes(content []byte) *[]cdx.Hash {
	sum := sha256.Sum256(content)
	return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}
}

// serialNumber returns a UUID (RFC 9562, version 8) of a program: a bill of the same
// program is the same bill.
func serialNumber(program []byte) string {
	sum := sha256.Sum256(program)
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
