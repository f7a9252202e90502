package config

import (
	"reflect"
	"strings"
)

// Changes returns which settings differ between two Configs, by their place in the
// file, as limits.body; and of these which a gateway can't change while it runs.
func Changes(before, after Config) (all, restart []string) {
	compare("", false, reflect.ValueOf(before), reflect.ValueOf(after), func(path string, reloads bool) {
		all = append(all, path)
		if !reloads {
			restart = append(restart, path)
		}
	})
	return all, restart
}

// compare reports the places in which two values of a type differ, and whether these
// can change while a gateway runs.
func compare(path string, reloads bool, before, after reflect.Value, report func(path string, reloads bool)) {
	if before.Kind() != reflect.Struct {
		isNothing := before.Kind() == reflect.Slice && before.Len()+after.Len() == 0 // [] and absent
		if !isNothing && !reflect.DeepEqual(before.Interface(), after.Interface()) {
			report(path, reloads)
		}
		return
	}
	for i := range before.NumField() {
		field := before.Type().Field(i)
		name := field.Tag.Get("yaml")
		compare(strings.TrimPrefix(path+"."+name, "."), reloads || field.Tag.Get("reload") == "true", before.Field(i), after.Field(i), report)
	}
}
