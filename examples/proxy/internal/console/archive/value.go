package archive

import (
	"encoding/base64"
	"errors"
	"unicode/utf8"
)

// base64Key is the name that the bytes of a value have that is not UTF-8.
const base64Key = "base64"

// toJSON returns what stands for a value in JSON.
func toJSON(v []byte) any {
	switch {
	case v == nil:
		return nil
	case utf8.Valid(v):
		return string(v)
	}
	return map[string][]byte{base64Key: v}
}

// fromJSON is the inverse of toJSON.
func fromJSON(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []byte(v), nil
	case map[string]any:
		if text, ok := v[base64Key].(string); ok && len(v) == 1 {
			return base64.StdEncoding.DecodeString(text)
		}
	}
	return nil, errors.New("a value is neither null nor a string nor bytes")
}
