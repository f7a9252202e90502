package main

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A release is all that is made of the repository as it is.
type release struct {
	build build
	out   string // the folder of what was made
	index v1.ImageIndex
}

// archs are the architectures that the tests make a release for: this machine's. To
// compile for another one takes minutes where nothing is compiled yet, and makes no
// difference but that: before a release, run them with EXITGATE_TEST_ARCHS=amd64,arm64.
var archs = strings.Split(cmp.Or(os.Getenv("EXITGATE_TEST_ARCHS"), runtime.GOARCH), ",")

var scratch string // for the release, which all tests look at

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "exitgate-release")
	if err != nil {
		panic(err)
	}
	scratch = folder
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

var releaseOnce = sync.OnceValues(func() (release, error) { return makeRelease("../..", scratch) })

// released returns the release, made once for all tests.
func released(t *testing.T) release {
	t.Helper()
	r, err := releaseOnce()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func makeRelease(root, folder string) (release, error) {
	r := release{out: filepath.Join(folder, "out"), build: build{
		root: root, folder: filepath.Join(folder, "made"), version: "1.0.0~rc.1+test", commit: "0123abcd", time: time.Unix(1_790_000_000, 0).UTC(),
	}}
	err := os.MkdirAll(r.build.folder, 0o700)
	if err == nil {
		r.index, err = r.build.makeAll(r.out, archs)
	}
	return r, err
}

// The folder, its clone, the files' times and permissions, and what the environment
// says to Go and of the time zone leave no trace.
func TestTwoBuildsAreTheSame(t *testing.T) {
	first := released(t)
	folder := t.TempDir()
	root := filepath.Join(folder, "another folder, of another length")
	copyRepository(t, root)
	t.Setenv("TZ", "Asia/Kathmandu")
	t.Setenv("GOAMD64", "v3")
	t.Setenv("GOFLAGS", "-tags=else")
	second, err := makeRelease(root, folder)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := read(t, filepath.Join(first.out, "SHA256SUMS")), read(t, filepath.Join(second.out, "SHA256SUMS")); !bytes.Equal(a, b) {
		t.Errorf("two builds differ:\n%s\n%s", a, b)
	}
}

// copyRepository copies the files of the repository, with other permissions and times.
func copyRepository(t *testing.T, to string) {
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = "../.."
	names, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join("../..", name))
		if errors.Is(err, fs.ErrNotExist) { // deleted, and not yet committed
			continue
		}
		path := filepath.Join(to, name)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestChecksumsAreOfAllThatIsMade(t *testing.T) {
	r := released(t)
	check := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = r.out
	said, err := check.CombinedOutput()
	if err != nil {
		t.Errorf("sha256sum: %v\n%s", err, said)
	}
	entries, err := os.ReadDir(r.out)
	if err != nil {
		t.Fatal(err)
	}
	if ok := strings.Count(string(said), ": OK\n"); ok != len(entries)-1 || ok != 4*len(archs)+1 { // program, bill, .deb and .rpm of each, and the image
		t.Errorf("of %d files but SHA256SUMS, it has %d:\n%s", len(entries)-1, ok, said)
	}
}

func TestTheProgramSaysWhatItIs(t *testing.T) {
	r := released(t)
	program := filepath.Join(r.out, "exitgate_1.0.0~rc.1+test_linux_"+runtime.GOARCH)
	sum, _, _ := strings.Cut(succeed(t, "sha256sum", program), " ")
	said := succeed(t, program, "version", "--json")
	for _, want := range []string{`"version": "1.0.0~rc.1+test"`, `"revision": "0123abcd"`, `"sha256": "` + sum + `"`} {
		if !strings.Contains(said, want) {
			t.Errorf("version doesn't say %s:\n%s", want, said)
		}
	}
}

func TestWhatIsNoVersionIsRefused(t *testing.T) {
	for _, version := range []string{"", "-1", "1 -X main.commit=x", "1/2", "../1"} {
		b := released(t).build
		b.version = version
		if _, err := b.makeAll(t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "is no version") {
			t.Errorf("%q: %v", version, err)
		}
	}
}
