package backup_test

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/backup"
)

var at = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func source(name, content string) backup.Source {
	return backup.Source{Name: name, Content: io.NewSectionReader(strings.NewReader(content), 0, int64(len(content)))}
}

func written(t *testing.T, sources ...backup.Source) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "it.tar")
	if _, err := backup.Write(name, backup.Manifest{Version: "1.2.3", Time: at, Ledger: &backup.Head{Number: 7, Hash: "ab", Records: 6}}, sources); err != nil {
		t.Fatal(err)
	}
	return name
}

func read(name string) (m backup.Manifest, contents map[string]string, err error) {
	b, err := backup.Open(name)
	if err != nil {
		return m, nil, err
	}
	defer b.Close()
	contents = make(map[string]string)
	err = b.Read(func(f backup.File, in io.Reader) error {
		text, err := io.ReadAll(in)
		contents[f.Name] = string(text)
		return err
	})
	return b.Manifest, contents, err
}

func TestABackupIsReadAsItWasWritten(t *testing.T) {
	long := "certificates/" + strings.Repeat("long/", 60) + "name.crt"
	name := written(t, source("a.json", "{}"), source("empty", ""), source(long, strings.Repeat("x", 5000)))
	m, contents, err := read(name)
	if err != nil {
		t.Fatal(err)
	}
	if contents["a.json"] != "{}" || contents["empty"] != "" || len(contents[long]) != 5000 || len(contents) != 3 {
		t.Errorf("it has %v", contents)
	}
	if m.Format != 1 || m.Version != "1.2.3" || !m.Time.Equal(at) || m.Ledger.Number != 7 || len(m.Files) != 3 {
		t.Errorf("its manifest is %+v", m)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	for archive := tar.NewReader(f); ; {
		h, err := archive.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			break
		}
		names = append(names, h.Name)
	}
	// What tar wants behind the last member (POSIX.1-2024, pax, ustar Interchange Format).
	end := make([]byte, 1024)
	if _, err := f.ReadAt(end, info.Size()-1024); err != nil || info.Size()%512 != 0 || strings.Trim(string(end), "\x00") != "" {
		t.Errorf("of %d bytes it ends with %q, %v", info.Size(), end, err)
	}
	if want := []string{"manifest.json", "data/a.json", "data/empty", "data/" + long, "sha256"}; !slices.Equal(names, want) {
		t.Errorf("tar lists %q", names)
	}
}

func TestABackupThatWasCutOrChangedAnywhereIsRefused(t *testing.T) {
	name := written(t, source("a.json", "{}"), source("b", strings.Repeat("y", 700)))
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, at int, content []byte) {
		t.Helper()
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := read(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s at %d: %v", what, at, err)
		}
	}
	for i := 0; i < len(whole); i += 7 {
		try("cut", i, whole[:i])
		changed := slices.Clone(whole)
		changed[i] ^= 0x20
		try("changed", i, changed)
	}
	try("cut", len(whole)-1, whole[:len(whole)-1])
	try("continued", len(whole), append(slices.Clone(whole), 0))
	if err := os.WriteFile(name, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := read(name); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("cut in half: %v", err)
	}
}

func TestWhatIsNoBackupIsSaidToBeNone(t *testing.T) {
	for what, content := range map[string]string{
		"no backup of exitgate":    "version: 1\n" + strings.Repeat("#", 5000),
		"cut off or changed since": "manifest.json",
	} {
		name := filepath.Join(t.TempDir(), "it.tar")
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := read(name); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAFileThatChangesWhileItIsWrittenLeavesTheBackupThatWasThere(t *testing.T) {
	name := written(t, source("a", "before"))
	growing := &changing{}
	if _, err := backup.Write(name, backup.Manifest{Time: at}, []backup.Source{{Name: "a", Content: io.NewSectionReader(growing, 0, 100)}}); err == nil {
		t.Error("it is written")
	}
	if _, contents, err := read(name); err != nil || contents["a"] != "before" {
		t.Errorf("there is %v, %v", contents, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(name), ".*")); len(left) > 0 {
		t.Errorf("left is %v", left)
	}
}

// changing has another content whenever it is read.
type changing struct{ reads byte }

func (c *changing) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	for i := range p {
		p[i] = c.reads
	}
	return len(p), nil
}
