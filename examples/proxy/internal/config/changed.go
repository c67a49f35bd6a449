package config

import "reflect"

// Changed returns the paths of the keys that other has another value for, such
// as "listen" and "timers.t1", in the order of the fields. Lists are compared
// as a whole.
func (c *Config) Changed(other *Config) []string {
	return changed(nil, "", reflect.ValueOf(c).Elem(), reflect.ValueOf(other).Elem())
}

func changed(paths []string, path string, a, b reflect.Value) []string {
	if a.Kind() != reflect.Struct || scalarParser(a.Addr().Interface()) != nil {
		if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			paths = append(paths, path)
		}
		return paths
	}
	others := fieldsOf(b)
	for i, f := range fieldsOf(a) {
		paths = changed(paths, join(path, f.name), f.value, others[i].value)
	}
	return paths
}
