package testkit

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"testing"
)

// What earlier commits have written: see written/803cf21/README.md.
//
//go:embed written/*/*
var written embed.FS

// Written returns a file that an earlier commit has written, by its path below
// written/.
func Written(t testing.TB, file string) []byte {
	t.Helper()
	content, err := written.ReadFile(path.Join("written", file))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// WrittenJSON returns the JSON values in such a file, of which there are
// several in one that ends in .jsonl.
func WrittenJSON[T any](t testing.TB, file string) (values []T) {
	t.Helper()
	for decoder := json.NewDecoder(bytes.NewReader(Written(t, file))); ; {
		var value T
		if err := decoder.Decode(&value); errors.Is(err, io.EOF) {
			return values
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		values = append(values, value)
	}
}

// WrittenFiles returns the names of the files in a folder below written/ that
// match a pattern.
func WrittenFiles(t testing.TB, pattern string) (files []string) {
	t.Helper()
	entries, err := written.ReadDir(path.Join("written", path.Dir(pattern)))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if ok, err := path.Match(path.Base(pattern), entry.Name()); err != nil {
			t.Fatal(err)
		} else if ok {
			files = append(files, path.Join(path.Dir(pattern), entry.Name()))
		}
	}
	if len(files) == 0 {
		t.Fatalf("there is no %s", pattern)
	}
	return files
}

// Unpack unpacks an archive below written/, as in "803cf21/embedded.tar.gz",
// and returns the folder that its content is in until the test ends. The path
// is short, as it may become a socket's.
func Unpack(t testing.TB, archive string) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "written")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) }) // what is left is for the system to remove
	unzipped, err := gzip.NewReader(bytes.NewReader(Written(t, archive)))
	if err != nil {
		t.Fatal(err)
	}
	for reader := tar.NewReader(unzipped); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return folder
		} else if err != nil {
			t.Fatal(err)
		}
		if !filepath.IsLocal(header.Name) {
			t.Fatalf("%s: %s leads out of it", archive, header.Name)
		}
		name := filepath.Join(folder, header.Name)
		if header.Typeflag == tar.TypeDir {
			err = os.MkdirAll(name, 0o700)
		} else {
			var content []byte
			if content, err = io.ReadAll(reader); err == nil {
				err = os.WriteFile(name, content, header.FileInfo().Mode().Perm())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
