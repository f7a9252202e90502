// Command packages makes what is released of exitgate, in a folder: the program, a
// .deb and an .rpm for each architecture, a container image for all of them, a bill
// of materials of each program, and the SHA-256 of all of these. No daemon and no
// container is needed. They are the same for the same commit, Go version and
// SOURCE_DATE_EPOCH.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func main() {
	out := flag.String("out", "dist", "`folder` to make them in")
	version := flag.String("version", "", "`version` of them all, as 1.2.0")
	commit := flag.String("commit", "", "`commit` that they are made of")
	archs := flag.String("arch", "amd64,arm64", "`architectures`, as Go names them")
	repository := flag.String("push", "", "`repository` to push the image to, as registry.example.org/exitgate; credentials are those of docker login")
	flag.Parse()
	err := run(*out, *version, *commit, strings.Split(*archs, ","), *repository)
	if err != nil {
		fmt.Fprintln(os.Stderr, "packages:", err)
		os.Exit(1)
	}
}

func run(out, version, commit string, archs []string, repository string) error {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if version == "" || commit == "" || err != nil {
		return errors.New("give -version, -commit, and in SOURCE_DATE_EPOCH the time that files get, in seconds: make packages does")
	}
	folder, err := os.MkdirTemp("", "exitgate-packages")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	b := build{root: "../..", folder: folder, version: version, commit: commit, time: time.Unix(seconds, 0).UTC()}
	index, err := b.makeAll(out, archs)
	if err != nil || repository == "" {
		return err
	}
	reference, err := push(index, repository, b.tag())
	if err == nil {
		fmt.Println("pushed", reference)
	}
	return err
}

// A build is what everything is made of.
type build struct {
	root            string // of the repository
	folder          string // for what is made on the way
	version, commit string
	time            time.Time // that files get
}

// What a version and a commit may be: the linker, file names and registries take it.
var nameable = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+~-]*$`)

// makeAll makes all files in a folder, and returns the image for all architectures.
func (b build) makeAll(out string, archs []string) (v1.ImageIndex, error) {
	for _, text := range []string{b.version, b.commit} {
		if !nameable.MatchString(text) {
			return nil, fmt.Errorf("%q is no version and no commit: it may have letters, digits and .+~-", text)
		}
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, err
	}
	about, err := b.describe()
	if err != nil {
		return nil, err
	}
	var names []string
	images := make(map[string]v1.Image)
	for _, arch := range archs {
		if err := b.compile("linux", arch); err != nil {
			return nil, err
		}
		if err := b.writeBOM(arch, about); err != nil {
			return nil, fmt.Errorf("bill of materials: %w", err)
		}
		name := fmt.Sprintf("exitgate_%s_linux_%s", b.version, arch)
		for from, to := range map[string]string{b.program("linux", arch): name, b.bom(arch): name + ".cdx.json"} {
			if err := copyFile(filepath.Join(out, to), from); err != nil {
				return nil, err
			}
			names = append(names, to)
		}
		for _, format := range []string{"deb", "rpm"} {
			name, err := b.pack(format, arch, out)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", format, err)
			}
			names = append(names, name)
		}
		if images[arch], err = b.image(arch); err != nil {
			return nil, fmt.Errorf("image: %w", err)
		}
	}
	index := b.index(images)
	name := fmt.Sprintf("exitgate_%s_image.tar", b.version)
	if err := b.writeImage(index, filepath.Join(out, name)); err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	return index, writeChecksums(out, append(names, name))
}

// writeChecksums writes SHA256SUMS, as sha256sum --check reads it, and prints it.
func writeChecksums(out string, names []string) error {
	slices.Sort(names)
	var sums strings.Builder
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		fmt.Fprintf(&sums, "%s  %s\n", hex.EncodeToString(sum[:]), name)
	}
	fmt.Print(sums.String())
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

// copyFile copies a file with its permissions.
func copyFile(to, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, info.Mode().Perm())
}
