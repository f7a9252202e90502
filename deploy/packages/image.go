package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	imageUser    = 65532 // of nobody else, and no name: the image has no /etc/passwd
	imageProgram = "/usr/local/bin/exitgate"
	imageData    = "/var/lib/exitgate"
)

// imageConfig is how a container of the image is run. deploy/container/Dockerfile
// says the same.
func imageConfig() v1.Config {
	return v1.Config{
		User:         fmt.Sprintf("%d:%d", imageUser, imageUser),
		Env:          []string{"STATE_DIRECTORY=" + imageData},
		Volumes:      map[string]struct{}{imageData: {}},
		ExposedPorts: map[string]struct{}{"8443/tcp": {}, "8080/tcp": {}},
		StopSignal:   "SIGTERM",
		// Of Docker's format, and kept by OCI's: Docker runs it, Podman takes its own
		// --health-cmd, Kubernetes its probes.
		Healthcheck: &v1.HealthConfig{Test: []string{"CMD", imageProgram, "status", "--ready"}, StartPeriod: 30 * time.Second},
		Entrypoint:  []string{imageProgram},
		Cmd:         []string{"serve", "--config", "/etc/exitgate/exitgate.yaml"},
	}
}

// labels say of an image what it is, by the names of OCI's image specification.
func (b build) labels() map[string]string {
	const prefix, source = "org.opencontainers.image.", "https://github.com/exitgate/exitgate"
	return map[string]string{
		prefix + "title":         "exitgate",
		prefix + "description":   "Gateway that withdraws a service from a market instead of downgrading it",
		prefix + "version":       b.version,
		prefix + "revision":      b.commit,
		prefix + "created":       b.time.Format(time.RFC3339),
		prefix + "url":           source,
		prefix + "source":        source,
		prefix + "documentation": source + "/blob/main/docs/operations.md",
		prefix + "licenses":      "Apache-2.0",
	}
}

// image returns the image for an architecture: one layer, of the program and the
// little that it needs. The data of time zones and of places is in the program.
func (b build) image(arch string) (v1.Image, error) {
	content, err := b.imageFiles(arch)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithCompressedCaching)
	if err != nil {
		return nil, err
	}
	config := imageConfig()
	config.Labels = b.labels()
	base, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON),
		&v1.ConfigFile{OS: "linux", Architecture: arch, Created: v1.Time{Time: b.time}, Config: config, RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		return nil, err
	}
	return mutate.Append(base, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: b.time}, CreatedBy: "github.com/exitgate/exitgate/deploy/packages"},
	})
}

// imageFiles returns the files of an image, as a tar archive.
func (b build) imageFiles(arch string) ([]byte, error) {
	program, err := os.ReadFile(b.program("linux", arch))
	if err != nil {
		return nil, err
	}
	bom, err := os.ReadFile(b.bom(arch))
	if err != nil {
		return nil, err
	}
	license, err := os.ReadFile(filepath.Join(b.root, "LICENSE"))
	if err != nil {
		return nil, err
	}
	notice, err := os.ReadFile(filepath.Join(b.root, "gateway/geo/NOTICE.md"))
	if err != nil {
		return nil, err
	}
	return b.archive([]tar.Header{
		{Name: "etc/", Mode: 0o755},
		{Name: "etc/exitgate/", Mode: 0o755},
		{Name: "etc/ssl/", Mode: 0o755},
		{Name: "etc/ssl/certs/", Mode: 0o755},
		{Name: "etc/ssl/certs/ca-certificates.crt", Mode: 0o644},
		{Name: "tmp/", Mode: 0o1777},
		{Name: "usr/", Mode: 0o755},
		{Name: "usr/local/", Mode: 0o755},
		{Name: "usr/local/bin/", Mode: 0o755},
		{Name: imageProgram[1:], Mode: 0o755},
		{Name: "usr/share/", Mode: 0o755},
		{Name: "usr/share/doc/", Mode: 0o755},
		{Name: "usr/share/doc/exitgate/", Mode: 0o755},
		{Name: "usr/share/doc/exitgate/copyright", Mode: 0o644},
		{Name: "usr/share/doc/exitgate/embedded-geo-database.md", Mode: 0o644},
		{Name: "usr/share/doc/exitgate/exitgate.cdx.json", Mode: 0o644},
		{Name: "var/", Mode: 0o755},
		{Name: "var/lib/", Mode: 0o755},
		{Name: imageData[1:] + "/", Mode: 0o700, Uid: imageUser, Gid: imageUser},
	}, map[string][]byte{
		"etc/ssl/certs/ca-certificates.crt":               authorities(),
		imageProgram[1:]:                                  program,
		"usr/share/doc/exitgate/copyright":                license,
		"usr/share/doc/exitgate/embedded-geo-database.md": notice,
		"usr/share/doc/exitgate/exitgate.cdx.json":        bom,
	})
}

// archive returns a tar archive of folders and files, in the order of the headers.
func (b build) archive(headers []tar.Header, contents map[string][]byte) ([]byte, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, header := range headers {
		header.ModTime, header.Format = b.time, tar.FormatUSTAR
		header.Size = int64(len(contents[header.Name]))
		header.Typeflag = tar.TypeReg
		if strings.HasSuffix(header.Name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(&header); err != nil {
			return nil, err
		}
		if _, err := w.Write(contents[header.Name]); err != nil {
			return nil, err
		}
	}
	return archive.Bytes(), w.Close()
}

// authorities returns the certificates of the authorities that Mozilla trusts, in PEM,
// which the gateway needs for upstreams, ACME, webhooks and flags over HTTPS. Those
// that are trusted with a condition, which PEM can't say, are left out.
func authorities() []byte {
	var all []byte
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})...)
		}
	}
	return all
}

// index returns the image for all architectures.
func (b build) index(images map[string]v1.Image) v1.ImageIndex {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range slices.Sorted(maps.Keys(images)) {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        images[arch],
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return mutate.Annotations(index, b.labels()).(v1.ImageIndex)
}

// tag is the version as registries take one.
func (b build) tag() string { return strings.NewReplacer("~", "-", "+", "-").Replace(b.version) }

// writeImage writes the image as an OCI image layout, in a tar archive.
func (b build) writeImage(index v1.ImageIndex, path string) error {
	folder := b.made("layout")
	written, err := layout.Write(folder, mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	if err != nil {
		return err
	}
	err = written.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "exitgate:" + b.tag()}))
	if err != nil {
		return err
	}
	var headers []tar.Header
	contents := make(map[string][]byte)
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == folder {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, folder+string(filepath.Separator)))
		if entry.IsDir() {
			headers = append(headers, tar.Header{Name: name + "/", Mode: 0o755})
			return nil
		}
		headers = append(headers, tar.Header{Name: name, Mode: 0o644})
		contents[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		return err
	}
	archive, err := b.archive(headers, contents)
	return errors.Join(err, os.WriteFile(path, archive, 0o644))
}

// push pushes the image to a repository of a registry, and returns how it is pulled:
// by tag and digest. A registry on this machine is spoken to without TLS.
func push(index v1.ImageIndex, repository, tag string) (string, error) {
	to, err := name.NewRepository(repository)
	if err != nil {
		return "", err
	}
	if err := remote.WriteIndex(to.Tag(tag), index, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return "", fmt.Errorf("push to %s: %w", repository, err)
	}
	digest, err := index.Digest()
	return to.Tag(tag).String() + "@" + digest.String(), err
}
