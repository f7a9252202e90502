package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// pulled pushes the image to a registry, and returns what it gives back.
func pulled(t *testing.T) v1.ImageIndex {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	r := released(t)
	reference, err := push(r.index, server.Listener.Addr().String()+"/exitgate", r.build.tag())
	if err != nil {
		t.Fatal(err)
	}
	tagged, digest, _ := strings.Cut(reference, "@")
	to, err := name.ParseReference(tagged)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(to)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := index.Digest(); err != nil || got.String() != digest || !strings.HasSuffix(tagged, ":1.0.0-rc.1-test") {
		t.Errorf("%s was pushed, and %s came back, %v", reference, got, err)
	}
	return index
}

// imageFor returns the image of an index for an architecture.
func imageFor(t *testing.T, index v1.ImageIndex, arch string) v1.Image {
	t.Helper()
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range manifest.Manifests {
		if m.Platform.Architecture == arch && m.Platform.OS == "linux" {
			image, err := index.Image(m.Digest)
			if err != nil {
				t.Fatal(err)
			}
			return image
		}
	}
	t.Fatalf("there is no image for %s", arch)
	return nil
}

func TestImageIsForEachArchitecture(t *testing.T) {
	index := pulled(t)
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	for _, arch := range archs {
		machine, image := machines[arch], imageFor(t, index, arch)
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Architecture != arch || config.Config.Labels["org.opencontainers.image.revision"] != "0123abcd" {
			t.Errorf("%s: it is said to be for %s, and of %q", arch, config.Architecture, config.Config.Labels)
		}
		found := filesOf(t, image)
		program, err := elf.NewFile(bytes.NewReader(found["usr/local/bin/exitgate"].content))
		if err != nil {
			t.Fatal(err)
		}
		if program.Machine != machine || program.Section(".interp") != nil {
			t.Errorf("%s: the program is for %s, and static: %v", arch, program.Machine, program.Section(".interp") == nil)
		}
		if data := found["var/lib/exitgate/"]; data.Uid != 65532 || data.Mode != 0o700 {
			t.Errorf("%s: the data folder is %d's, %o", arch, data.Uid, data.Mode)
		}
	}
}

// A file is one of an image.
type file struct {
	tar.Header
	content []byte
}

func filesOf(t *testing.T, image v1.Image) map[string]file {
	t.Helper()
	archive := mutate.Extract(image)
	defer archive.Close()
	found := make(map[string]file)
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return found
		}
		var content []byte
		if err == nil {
			content, err = io.ReadAll(reader)
		}
		if err != nil {
			t.Fatal(err)
		}
		name := header.Name
		if header.Typeflag == tar.TypeDir {
			name = strings.TrimSuffix(name, "/") + "/"
		}
		found[name] = file{*header, content}
	}
}

func TestImageFileHasTheSameImage(t *testing.T) {
	r := released(t)
	var index v1.IndexManifest
	unpacked := make(map[string][]byte)
	for reader := tar.NewReader(bytes.NewReader(read(t, filepath.Join(r.out, "exitgate_1.0.0~rc.1+test_image.tar")))); ; {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		unpacked[header.Name] = content
	}
	if got := strings.TrimSpace(string(unpacked["oci-layout"])); !strings.Contains(got, `"imageLayoutVersion": "1.0.0"`) {
		t.Errorf("oci-layout: %s", got)
	}
	if err := json.Unmarshal(unpacked["index.json"], &index); err != nil {
		t.Fatal(err)
	}
	want, err := r.index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 1 || index.Manifests[0].Digest != want || index.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "exitgate:1.0.0-rc.1-test" {
		t.Errorf("got %+v, want %s", index.Manifests, want)
	}
	if len(unpacked["blobs/sha256/"+want.Hex]) == 0 {
		t.Error("the index isn't in it")
	}
}

func TestImageTrustsAuthorities(t *testing.T) {
	count := 0
	for rest := authorities(); ; count++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if certificate, err := x509.ParseCertificate(block.Bytes); err != nil || !certificate.IsCA {
			t.Errorf("%v, %v", certificate, err)
		}
	}
	if count < 100 {
		t.Errorf("there are %d", count)
	}
}

// Whoever builds by the Dockerfile gets a container that runs alike.
func TestDockerfileSaysTheSame(t *testing.T) {
	said := make(map[string]string)
	_, final, _ := strings.Cut(string(read(t, "../container/Dockerfile")), "FROM scratch")
	for _, line := range regexp.MustCompile(`(?m)^([A-Z]+) (.*)$`).FindAllStringSubmatch(final, -1) {
		said[line[1]] = line[2]
	}
	list := func(text string) (words []string) {
		if err := json.Unmarshal([]byte(text), &words); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		return words
	}
	got := v1.Config{
		User: said["USER"], Env: []string{said["ENV"]}, StopSignal: said["STOPSIGNAL"],
		Volumes: map[string]struct{}{said["VOLUME"]: {}}, ExposedPorts: make(map[string]struct{}),
		Entrypoint: list(said["ENTRYPOINT"]), Cmd: list(said["CMD"]),
	}
	for port := range strings.FieldsSeq(said["EXPOSE"]) {
		got.ExposedPorts[port+"/tcp"] = struct{}{}
	}
	period, command, _ := strings.Cut(said["HEALTHCHECK"], " CMD ")
	start, err := time.ParseDuration(strings.TrimPrefix(period, "--start-period="))
	if err != nil {
		t.Error(err)
	}
	got.Healthcheck = &v1.HealthConfig{Test: slices.Concat([]string{"CMD"}, list(command)), StartPeriod: start}
	if want := imageConfig(); !reflect.DeepEqual(got, want) {
		t.Errorf("the Dockerfile says\n%s, the image\n%s", show(got), show(want))
	}
}

func show(c v1.Config) string {
	text, err := json.Marshal(c)
	return fmt.Sprint(string(text), err)
}
