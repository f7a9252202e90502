package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// program returns the path of the program for a system.
func (b build) program(system, arch string) string {
	return filepath.Join(b.folder, "exitgate-"+system+"-"+arch)
}

// compile makes the program, static and without symbols. What it is made of is
// this commit alone: nothing of the folder, of the clone's tags, or of what the
// environment says to Go.
func (b build) compile(system, arch string) error {
	cmd := b.goCommand(system, arch, "build", "-trimpath", "-buildvcs=false",
		"-ldflags=-s -w -X main.release="+b.version+" -X main.commit="+b.commit,
		"-o", b.program(system, arch), "./cmd/exitgate")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, said)
	}
	return nil
}

// goCommand returns a command of Go's, about the repository and for a system.
func (b build) goCommand(system, arch string, args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=0",
		"GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off")
	return cmd
}

// shells are those for which the packages have completions.
var shells = []string{"bash", "zsh", "fish"}

// description is what the program says of itself.
type description struct {
	Database string `json:"embedded-geo-database-sha256"`
}

// describe has a program for this machine write the completions for shells, and
// returns what it says of itself.
func (b build) describe() (about description, err error) {
	if err := b.compile(runtime.GOOS, runtime.GOARCH); err != nil {
		return about, err
	}
	program := b.program(runtime.GOOS, runtime.GOARCH)
	for _, shell := range shells {
		script, err := exec.Command(program, "completion", shell).Output()
		if err != nil {
			return about, fmt.Errorf("completion for %s: %w", shell, err)
		}
		if err := os.WriteFile(b.made(shell), script, 0o644); err != nil {
			return about, err
		}
	}
	said, err := exec.Command(program, "version", "--json").Output()
	if err != nil {
		return about, fmt.Errorf("version: %w", err)
	}
	return about, json.Unmarshal(said, &about)
}

// made returns the path of a file that is made on the way.
func (b build) made(name string) string { return filepath.Join(b.folder, name) }
