package config

import (
	"path/filepath"
	"reflect"
)

// resolvePaths makes the files that settings name relative to a folder: fields with a
// file tag, whose value is what would be no file's name.
func resolvePaths(c *Config, folder string) { resolve(reflect.ValueOf(c).Elem(), folder, nil) }

// resolve does so for a value; noFile is the file tag of its field, nil for none.
func resolve(v reflect.Value, folder string, noFile *string) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			var tag *string
			if value, is := v.Type().Field(i).Tag.Lookup("file"); is {
				tag = &value
			}
			if v.Type().Field(i).IsExported() {
				resolve(v.Field(i), folder, tag)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			resolve(v.Index(i), folder, noFile)
		}
	case reflect.String:
		if name := v.String(); noFile != nil && name != "" && name != *noFile && !filepath.IsAbs(name) {
			v.SetString(filepath.Join(folder, name))
		}
	}
}
