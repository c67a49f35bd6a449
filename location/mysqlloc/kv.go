package mysqlloc

import (
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// kv is a kv_store: values by name, each in JSON. OpenSIPS has texts and
// numbers there, and so have we. Ours have names that begin with kvPrefix.
type kv map[string]json.RawMessage

const (
	kvPrefix = "sipward_"
	rawInfix = "raw_" // before the name of a text that is no UTF-8 and so is in base64
)

func parseKV(column sql.NullString) (values kv, err error) {
	if column.String == "" {
		return nil, nil
	}
	err = json.Unmarshal([]byte(column.String), &values)
	return values, err
}

// String returns the JSON of values, "" if there is none.
func (values kv) String() string {
	if len(values) == 0 {
		return ""
	}
	text, err := json.Marshal(map[string]json.RawMessage(values))
	if err != nil {
		panic("mysqlloc: JSON that was JSON is none: " + err.Error())
	}
	return string(text)
}

// foreign returns what is not ours.
func (values kv) foreign() kv {
	var others kv
	for name, value := range values {
		if !strings.HasPrefix(name, kvPrefix) {
			if others == nil {
				others = kv{}
			}
			others[name] = value
		}
	}
	return others
}

// text returns one of our texts, "" if there is none.
func (values kv) text(name string) string {
	var text string
	if value, ok := values[kvPrefix+name]; ok {
		_ = json.Unmarshal(value, &text) // what others have broken is not there
		return text
	}
	if value, ok := values[kvPrefix+rawInfix+name]; ok {
		_ = json.Unmarshal(value, &text)
		raw, _ := base64.StdEncoding.DecodeString(text)
		return string(raw)
	}
	return ""
}

// setText sets one of our texts, unless it is "".
func (values kv) setText(name, text string) {
	if text == "" {
		return
	}
	if !utf8.ValidString(text) {
		name = rawInfix + name
		text = base64.StdEncoding.EncodeToString([]byte(text))
	}
	value, _ := json.Marshal(text) // a text has no error
	values[kvPrefix+name] = value
}

// exact returns a text whole, of which a column holds this.
func (values kv) exact(name, held string) string {
	text := values.text(name)
	if text != "" && strings.TrimRight(strings.ToValidUTF8(text, "?"), " ") == strings.TrimRight(held, " ") {
		return text
	}
	return held
}

// number returns one of our numbers, 0 if there is none.
func (values kv) number(name string) int {
	n, _ := strconv.Atoi(string(values[kvPrefix+name]))
	return n
}

// setNumber sets one of our numbers, unless it is 0.
func (values kv) setNumber(name string, n int) {
	if n != 0 {
		values[kvPrefix+name] = strconv.AppendInt(nil, int64(n), 10)
	}
}
