// Command generate writes the tables of package iso3166 from the npm package
// iso-3166, corrected by corrections.go, with the territories of
// territories.go. The same version of the source gives the same bytes. Run it
// by "go generate"; it needs npm.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The source. To take a newer version, change both (npm view iso-3166
// dist.integrity), generate, and read the difference: the package is scraped
// from Wikipedia, whose pages now and then have a code too many or too few.
const (
	source    = "iso-3166@4.4.0"
	integrity = "sha512-I6ylkNQgxVh7cYADMUJpqBUdremGvyGZkDRSk9Cdic/ITBUemsllQnUeRpz7yDKyfgAXI9oPa5A9dia+7IXLqw=="
)

// Where the results go, seen from the folder that the directive stands in.
const (
	countriesFile    = "countries.txt"    // alpha-2 code, alpha-3 code, sovereign or -, name
	subdivisionsFile = "subdivisions.txt" // code, first-level subdivision that it lies in or -, name
	sourceFile       = "SOURCE.txt"
	licenceFile      = "LICENSE.iso-3166"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("generate: ")
	if err := generate(); err != nil {
		log.Fatal(err)
	}
}

func generate() error {
	files, err := fetch()
	if err != nil {
		return err
	}
	countries, err := countryTable(objects(files["package/1.js"]))
	if err != nil {
		return err
	}
	subdivisions, err := subdivisionTable(objects(files["package/2.js"]))
	if err != nil {
		return err
	}
	generator, err := checksum(".")
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		countriesFile:    countries,
		subdivisionsFile: subdivisions,
		sourceFile:       describeSource(generator, sum(countries+subdivisions)),
		licenceFile:      string(files["package/license"]),
	} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// describeSource says where the tables come from, and has sums by which a test
// can tell that they are what this generator wrote.
func describeSource(generator, tables string) string {
	return fmt.Sprintf(`%s and %s are generated from npm %s: don't edit them.

Source: https://github.com/wooorm/iso-3166, %s
Licence: MIT, Copyright (c) 2020 Titus Wormer; see %s.
Corrected and completed by internal/generate.

SHA-256 of internal/generate: %s
SHA-256 of the two tables: %s
`, countriesFile, subdivisionsFile, source, integrity, licenceFile, generator, tables)
}

// fetch downloads the source package and returns its files by name.
func fetch() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "iso3166")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)

	npm := exec.Command("npm", "pack", "--silent", source)
	npm.Dir = dir
	npm.Stderr = os.Stderr
	if err := npm.Run(); err != nil {
		return nil, fmt.Errorf("npm pack %s: %w", source, err)
	}
	packed, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(packed) != 1 {
		return nil, fmt.Errorf("npm pack %s left %d files, expected 1", source, len(packed))
	}
	archive, err := os.ReadFile(packed[0])
	if err != nil {
		return nil, err
	}
	sum := sha512.Sum512(archive)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != integrity {
		return nil, fmt.Errorf("%s has integrity %s, expected %s", source, got, integrity)
	}
	return unpack(archive)
}

func unpack(archive []byte) (map[string][]byte, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for entries := tar.NewReader(unzipped); ; {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if files[header.Name], err = io.ReadAll(entries); err != nil {
			return nil, err
		}
	}
}

var (
	object   = regexp.MustCompile(`(?s)\n  \{\n(.*?)\n  \}`)
	property = regexp.MustCompile(`(?m)^ +(\w+): (?:'([^'\\]*)'|"([^"\\]*)"),?$`)
)

// objects reads a JavaScript module that exports a list of flat objects of
// strings, in the one form that the source package writes them.
func objects(module []byte) []map[string]string {
	var list []map[string]string
	for _, body := range object.FindAllSubmatch(module, -1) {
		properties := make(map[string]string)
		for _, p := range property.FindAllSubmatch(body[1], -1) {
			properties[string(p[1])] = string(p[2]) + string(p[3])
		}
		list = append(list, properties)
	}
	return list
}

func countryTable(source []map[string]string) (string, error) {
	sovereigns := make(map[string]string)
	for sovereign, codes := range territories {
		for code := range strings.FieldsSeq(codes) {
			sovereigns[code] = sovereign
		}
	}
	// Not ISO's: see LookupCountry. XKX is the alpha-3 code of the same use.
	lines := []string{"XK XKX - Kosovo"}
	for _, c := range source {
		code := c["alpha2"]
		if len(code) != 2 || len(c["alpha3"]) != 3 || c["name"] == "" {
			return "", fmt.Errorf("not a country: %v", c)
		}
		sovereign := orDash(sovereigns[code])
		delete(sovereigns, code)
		lines = append(lines, code+" "+c["alpha3"]+" "+sovereign+" "+c["name"])
	}
	if len(sovereigns) > 0 {
		return "", fmt.Errorf("territories that aren't countries: %v", sovereigns)
	}
	return table(lines), nil
}

func subdivisionTable(source []map[string]string) (string, error) {
	names, parents := make(map[string]string), make(map[string]string)
	for _, s := range source {
		code := s["code"]
		if len(code) < 4 || code[2] != '-' || s["name"] == "" {
			return "", fmt.Errorf("not a subdivision: %v", s)
		}
		names[code] = s["name"]
		if parent := s["parent"]; strings.Contains(parent, "-") {
			parents[code] = parent
		}
	}
	if err := correct(names, parents); err != nil {
		return "", err
	}
	var lines []string
	for code, name := range names {
		parent := parents[code]
		for parents[parent] != "" { // of three levels (FR-67, FR-6AE, FR-GES), the first
			parent = parents[parent]
		}
		lines = append(lines, code+" "+orDash(parent)+" "+name)
	}
	return table(lines), nil
}

func orDash(field string) string {
	if field == "" {
		return "-"
	}
	return field
}

// table sorts lines by their codes: a space sorts before all that a code is
// made of.
func table(lines []string) string {
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

func sum(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// checksum returns the sum of the generator's own source, so that a test can
// tell, without npm, that the tables were generated after its last change.
func checksum(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "internal", "generate", "*.go"))
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for _, file := range files { // Glob sorts
		content, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		all.Write(content)
	}
	return sum(all.String()), nil
}
