package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A program is something installed that the benchmark runs, or a file that one
// loads: by name in PATH, or by absolute path.
type program struct {
	name, debianPackage string
}

func (p program) installed() bool {
	if filepath.IsAbs(p.name) {
		_, err := os.Stat(p.name)
		return err == nil
	}
	_, err := exec.LookPath(p.name)
	return err == nil
}

// requirePrograms reports all missing programs at once.
func requirePrograms(peers []peer) error {
	needed := []program{
		{"taskset", "util-linux"},
		{"nginx", "nginx"}, // the origin
		{"wrk", "wrk"},
		{"h2load", "nghttp2-client"},
	}
	for _, p := range peers {
		needed = append(needed, p.needs...)
	}
	var missing, packages []string
	for _, p := range needed {
		if !p.installed() && !slices.Contains(packages, p.debianPackage) {
			missing = append(missing, p.name)
			packages = append(packages, p.debianPackage)
		}
	}
	if missing == nil {
		return nil
	}
	return fmt.Errorf("missing: %s; on Debian: apt-get install %s",
		strings.Join(missing, ", "), strings.Join(packages, " "))
}
