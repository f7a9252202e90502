//go:build integration

package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// kubernetes is the release by whose schema manifests are checked.
const kubernetes = "k8s.io/kubernetes@v1.34.1"

// A schema is as much of OpenAPI 2.0 as Kubernetes' own description of its objects has.
type schema struct {
	Ref        string             `json:"$ref"`
	Type       string             `json:"type"`
	Format     string             `json:"format"`
	Properties map[string]*schema `json:"properties"`
	Additional *schema            `json:"additionalProperties"`
	Items      *schema            `json:"items"`
	Required   []string           `json:"required"`
	Kinds      []struct {
		Group, Version, Kind string
	} `json:"x-kubernetes-group-version-kind"`
}

// Issue 15: the manifests are by Kubernetes' own schema, which its module has.
func TestTheManifestsAreByTheSchema(t *testing.T) {
	out, err := exec.Command("go", "mod", "download", "-json", kubernetes).Output()
	var module struct{ Dir, Error string }
	if err != nil || json.Unmarshal(out, &module) != nil || module.Error != "" {
		t.Fatalf("%s: %v %s", kubernetes, err, out)
	}
	text, err := os.ReadFile(filepath.Join(module.Dir, "api/openapi-spec/swagger.json"))
	if err != nil {
		t.Fatal(err)
	}
	var described struct{ Definitions map[string]*schema }
	if err := json.Unmarshal(text, &described); err != nil {
		t.Fatal(err)
	}
	byKind := make(map[string]*schema)
	for _, s := range described.Definitions {
		for _, k := range s.Kinds {
			byKind[strings.TrimPrefix(k.Group+"/"+k.Version, "/")+" "+k.Kind] = s
		}
	}
	for name, object := range manifests(t) {
		s := byKind[fmt.Sprint(object["apiVersion"], " ", object["kind"])]
		if s == nil {
			t.Errorf("%s: Kubernetes knows no %s %s", name, object["apiVersion"], object["kind"])
			continue
		}
		for _, fault := range s.faults(described.Definitions, name, object) {
			t.Error(fault)
		}
	}
	wrong := map[string]any{"apiVersion": "v1", "kind": "Service", "spec": map[string]any{"ports": []any{map[string]any{"name": 1}}, "tpye": "x"}}
	if faults := byKind["v1 Service"].faults(described.Definitions, "", wrong); len(faults) != 3 {
		t.Errorf("of three faults these are found: %q", faults)
	}
}

// faults returns what is wrong with a value.
func (s *schema) faults(all map[string]*schema, at string, value any) (found []string) {
	if name, is := strings.CutPrefix(s.Ref, "#/definitions/"); is {
		s = all[name]
	}
	wrong := func(is string) []string { return []string{fmt.Sprintf("%s is %v: want %s", at, value, is)} }
	switch v := value.(type) {
	case map[string]any:
		if s.Type != "object" && s.Properties == nil {
			return wrong(s.Type)
		}
		for _, name := range s.Required {
			if _, ok := v[name]; !ok {
				found = append(found, at+" has no "+name)
			}
		}
		for name, inner := range v {
			property := s.Properties[name]
			if property == nil {
				property = s.Additional
			}
			if property == nil {
				if len(s.Properties) > 0 {
					found = append(found, at+" has no place for "+name)
				}
				continue
			}
			found = append(found, property.faults(all, at+"."+name, inner)...)
		}
	case []any:
		if s.Type != "array" {
			return wrong(s.Type)
		}
		for i, inner := range v {
			found = append(found, s.Items.faults(all, fmt.Sprintf("%s[%d]", at, i), inner)...)
		}
	case string:
		if s.Type != "string" {
			return wrong(s.Type)
		}
	case bool:
		if s.Type != "boolean" {
			return wrong(s.Type)
		}
	default: // a number
		if !slices.Contains([]string{"integer", "number"}, s.Type) && s.Format != "int-or-string" {
			return wrong(s.Type)
		}
	}
	return found
}
