package console

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// A list that ends early is a document that says so.
func TestList_Fails(t *testing.T) {
	for _, elements := range []int{0, 1, 2} {
		var out strings.Builder
		p := printer{w: &out, json: true}
		l, err := p.list("bindings", "")
		if err != nil {
			t.Fatal(err)
		}
		for range elements {
			if err := l.add(bindingView{AOR: "401@a.test"}); err != nil {
				t.Fatal(err)
			}
		}
		failed := errors.New("connection lost")
		if err := l.end(failed); !errors.Is(err, failed) {
			t.Errorf("got error %v", err)
		}
		var got struct {
			Bindings []bindingView
			Error    string
		}
		if err := json.Unmarshal([]byte(out.String()), &got); err != nil || len(got.Bindings) != elements || got.Error != failed.Error() {
			t.Errorf("%v in\n%s", err, &out)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// What could not be printed has failed.
func TestList_BrokenPipe(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		p := printer{w: broken{}, json: asJSON}
		l, err := p.list("bindings", "AOR\n")
		if err == nil {
			err = errors.Join(l.add(bindingView{}), l.end(nil))
		}
		if err == nil {
			t.Errorf("no error, JSON: %v", asJSON)
		}
	}
}
