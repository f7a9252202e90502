// Command packages makes the .deb and the .rpm of exitgate in a folder. They are
// the same for the same commit, Go version and SOURCE_DATE_EPOCH.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

func main() {
	out := flag.String("out", "dist", "`folder` to make them in")
	version := flag.String("version", "", "`version` of the packages, as 1.2.0")
	arch := flag.String("arch", runtime.GOARCH, "`architecture`, as Go names it")
	flag.Parse()
	if err := run(*out, *version, *arch); err != nil {
		fmt.Fprintln(os.Stderr, "packages:", err)
		os.Exit(1)
	}
}

func run(out, version, arch string) error {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if version == "" || err != nil {
		return errors.New("give --version, and in SOURCE_DATE_EPOCH the time that files get, in seconds: make packages does")
	}
	folder, err := os.MkdirTemp("", "exitgate-packages")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := os.Setenv("CGO_ENABLED", "0"); err != nil { // static, for any distribution
		return err
	}
	b := build{root: "../..", folder: folder, version: version, arch: arch, time: time.Unix(seconds, 0).UTC()}
	if err := b.compile("-trimpath", "-ldflags=-s -w"); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, format := range []string{"deb", "rpm"} {
		name, err := b.pack(format, out)
		if err != nil {
			return fmt.Errorf("%s: %w", format, err)
		}
		content, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		line := hex.EncodeToString(sum[:]) + "  " + name + "\n" // as sha256sum --check reads it
		if err := os.WriteFile(filepath.Join(out, name+".sha256"), []byte(line), 0o644); err != nil {
			return err
		}
		fmt.Print(line)
	}
	return nil
}

// A build is what the packages are made of.
type build struct {
	root          string // of the repository
	folder        string // for what is made on the way
	version, arch string
	time          time.Time // that files get
}

// compile makes the command for the packages, and what it says of itself:
// completions for shells. These are said by one that runs on this machine.
func (b build) compile(flags ...string) error {
	program := filepath.Join(b.folder, "exitgate")
	if err := b.goBuild(program, "linux", b.arch, flags); err != nil {
		return err
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != b.arch {
		program = filepath.Join(b.folder, "here")
		if err := b.goBuild(program, runtime.GOOS, runtime.GOARCH, flags); err != nil {
			return err
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script, err := exec.Command(program, "completion", shell).Output()
		if err != nil {
			return fmt.Errorf("completion for %s: %w", shell, err)
		}
		if err := os.WriteFile(filepath.Join(b.folder, shell), script, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (b build) goBuild(program, system, arch string, flags []string) error {
	cmd := exec.Command("go", append(append([]string{"build"}, flags...), "-o", program, "./cmd/exitgate")...)
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, said)
	}
	return nil
}

// pack makes one package in a folder, and returns its file's name.
func (b build) pack(format, out string) (string, error) {
	content := func(source, destination, kind string, mode os.FileMode) *files.Content {
		return &files.Content{Source: source, Destination: destination, Type: kind,
			FileInfo: &files.ContentFileInfo{Mode: mode, MTime: b.time, Owner: "root", Group: "root"}}
	}
	made := func(name string) string { return filepath.Join(b.folder, name) }
	info := nfpm.WithDefaults(&nfpm.Info{
		Name:          "exitgate",
		Arch:          b.arch,
		Platform:      "linux",
		Version:       b.version,
		VersionSchema: "none",
		Section:       "net",
		Maintainer:    "exitgate <https://github.com/exitgate/exitgate>",
		Homepage:      "https://github.com/exitgate/exitgate",
		License:       "Apache-2.0",
		Description:   "gateway that withdraws a service from a market instead of downgrading it",
		MTime:         b.time,
		Overridables: nfpm.Overridables{
			Recommends: []string{"ca-certificates"},
			Contents: files.Contents{
				content(made("exitgate"), "/usr/bin/exitgate", "", 0o755),
				content(b.root+"/deploy/systemd/exitgate.service", "/usr/lib/systemd/system/exitgate.service", "", 0o644),
				content(b.root+"/deploy/packages/exitgate.yaml", "/etc/exitgate/exitgate.yaml", files.TypeConfigNoReplace, 0o644),
				content(made("bash"), "/usr/share/bash-completion/completions/exitgate", "", 0o644),
				content(made("zsh"), "/usr/share/zsh/vendor-completions/_exitgate", "", 0o644),
				content(made("fish"), "/usr/share/fish/vendor_completions.d/exitgate.fish", "", 0o644),
				content(b.root+"/LICENSE", "/usr/share/doc/exitgate/copyright", "", 0o644),
				content(b.root+"/CHANGELOG.md", "/usr/share/doc/exitgate/CHANGELOG.md", "", 0o644),
			},
			Scripts: nfpm.Scripts{
				PostInstall: b.root + "/deploy/packages/postinstall.sh",
				PreRemove:   b.root + "/deploy/packages/preremove.sh",
				PostRemove:  b.root + "/deploy/packages/postremove.sh",
			},
			Deb: nfpm.Deb{Compression: "zstd"}, // of half the size, and many times as fast as xz
			RPM: nfpm.RPM{Compression: "zstd", BuildHost: "exitgate", Summary: "Gateway that withdraws a service from a market"},
		},
	})
	packager, err := nfpm.Get(format)
	if err != nil {
		return "", err
	}
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return "", err
	}
	name := packager.ConventionalFileName(info)
	if strings.ContainsRune(name, filepath.Separator) {
		return "", fmt.Errorf("%q is no version of a package", b.version)
	}
	file, err := os.Create(filepath.Join(out, name))
	if err != nil {
		return "", err
	}
	return name, errors.Join(packager.Package(info, file), file.Close())
}
