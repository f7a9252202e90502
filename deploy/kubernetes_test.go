package deploy

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/policy/document"
)

// A pod is as much of a Deployment as the settings have to fit.
type pod struct {
	Spec struct {
		Template struct {
			Spec struct {
				Grace           int `yaml:"terminationGracePeriodSeconds"`
				SecurityContext struct {
					User int `yaml:"runAsUser"`
				} `yaml:"securityContext"`
				Containers []struct {
					Args  []string
					Ports []struct {
						Name string
						Port string `yaml:"containerPort"`
					}
					Probe struct {
						Get struct{ Port string } `yaml:"httpGet"`
					} `yaml:"readinessProbe"`
					Mounts []struct {
						Name string
						Path string `yaml:"mountPath"`
					} `yaml:"volumeMounts"`
				}
			}
		}
	}
}

// manifests returns the objects of deploy/kubernetes, by their kind and name.
func manifests(t *testing.T) map[string]map[string]any {
	t.Helper()
	list := parse[struct{ Resources []string }](t, "kubernetes/kustomization.yaml")
	all := make(map[string]map[string]any)
	for _, name := range list.Resources {
		text, err := os.ReadFile(filepath.Join("kubernetes", name))
		if err != nil {
			t.Fatal(err)
		}
		for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
			var object map[string]any
			if err := d.Decode(&object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			metadata, _ := object["metadata"].(map[string]any)
			key := object["kind"].(string) + " " + metadata["name"].(string)
			if all[key] != nil {
				t.Errorf("%s is there twice", key)
			}
			all[key] = object
		}
	}
	files, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if !slices.Contains(list.Resources, name) && name != "kustomization.yaml" && name != "exitgate.yaml" && name != "policy.yaml" {
			t.Errorf("%s isn't listed in kustomization.yaml", name)
		}
	}
	return all
}

// Issue 15: the manifests fit the settings that they bring, and the image.
func TestTheManifestsFitTheSettings(t *testing.T) {
	all := manifests(t)
	settings, err := os.ReadFile("kubernetes/exitgate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("kubernetes/exitgate.yaml", settings)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("kubernetes/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := document.Parse("kubernetes/policy.yaml", text); err != nil {
		t.Error(err)
	}
	source, err := yaml.Marshal(all["Deployment exitgate"])
	if err != nil {
		t.Fatal(err)
	}
	var p pod
	if err := yaml.Unmarshal(source, &p); err != nil {
		t.Fatal(err)
	}
	spec := p.Spec.Template.Spec
	if spec.Grace <= int((c.Drain + c.DrainDelay).Seconds()) {
		t.Errorf("a pod is killed %d s after it was told to stop, and drains for %s and %s", spec.Grace, c.DrainDelay, c.Drain)
	}
	if image := parse[struct{ Images []struct{ Name string } }](t, "kubernetes/kustomization.yaml"); image.Images[0].Name != "exitgate" {
		t.Errorf("the image is %s", image.Images[0].Name)
	}
	container := spec.Containers[0]
	ports := make(map[string]string)
	for _, port := range container.Ports {
		ports[port.Name] = port.Port
	}
	want := make(map[string]string)
	for name, address := range map[string]string{"https": c.Listen.HTTPS, "http": c.Listen.HTTP.Address, "probes": c.Admin.Probes} {
		_, want[name], _ = net.SplitHostPort(address)
	}
	if !maps.Equal(ports, want) || container.Probe.Get.Port != "probes" {
		t.Errorf("the pod has the ports %v, and the settings %v", ports, want)
	}
	for _, file := range []string{c.Policy.File, c.TLS.Files[0].Cert, c.TLS.Files[0].Key, container.Args[len(container.Args)-1]} {
		mounted := slices.ContainsFunc(container.Mounts, func(m struct {
			Name string
			Path string `yaml:"mountPath"`
		}) bool {
			return strings.HasPrefix(file, m.Path+"/")
		})
		if !mounted {
			t.Errorf("nothing is mounted where %s is to be", file)
		}
	}
	dockerfile, err := os.ReadFile("container/Dockerfile")
	if err != nil || spec.SecurityContext.User != 65532 || !bytes.Contains(dockerfile, []byte("USER 65532:65532")) {
		t.Errorf("the pod runs as %d, %v", spec.SecurityContext.User, err)
	}
}
