package console_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// What is in the file and in the table is counted as the proxy has it: once, off
// if it is off in one of them, and not at all if it is left out.
func TestStatus_FileAndTable(t *testing.T) {
	t.Parallel()
	s := newSite(t, `admin: 127.0.0.1:9`, `tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10"}, {uri: "sip:10.0.1.11", state: 1}, {uri: "sip:10.0.1.12"}]}
  - {setid: 30, domains: [c.test], destinations: [{uri: "sip:10.0.1.30"}]}
  - {setid: 40, domains: [d.test], destinations: [{uri: "sip:10.0.1.40", state: 1}]}`)
	s.do("db", "init")
	s.exec(`INSERT INTO dispatcher (id, setid, destination, socket, state) VALUES
		(1, 10, 'sip:10.0.1.10:5060', NULL, 0), (2, 10, 'sip:10.0.1.11', NULL, 0), (3, 10, 'sip:10.0.1.12;transport=udp', NULL, 1),
		(4, 10, 'sip:10.0.1.12', 'udp:192.0.2.1:5060', 1), (5, 10, 'sip:10.0.1.13', NULL, 0), (6, 10, 'sip:10.0.1.13', NULL, 0),
		(7, 10, 'nonsense', NULL, 0), (8, 20, 'sip:10.0.1.20', NULL, 0), (9, 20, 'sip:10.0.1.20', NULL, 1),
		(10, 30, 'sip:10.0.1.31', NULL, 0), (11, 40, 'sip:10.0.1.40', NULL, 1), (12, 10, 'sip:10.0.1.10', NULL, 2)`)
	var got struct {
		Sets []struct{ SetID, Destinations, Active int }
	}
	if err := json.Unmarshal([]byte(s.do("status", "-json")), &got); err != nil {
		t.Fatal(err)
	}
	want := map[int][2]int{10: {2, 4}, 20: {0, 1}, 30: {2, 2}, 40: {0, 1}}
	for _, set := range got.Sets {
		if counted := [2]int{set.Active, set.Destinations}; counted != want[set.SetID] {
			t.Errorf("set %d: %v, want %v", set.SetID, counted, want[set.SetID])
		}
		delete(want, set.SetID)
	}
	if len(want) > 0 {
		t.Errorf("there is no set of %v", want)
	}

	const note = "has no active destination now"
	for _, tt := range []struct {
		state string
		id    int
		noted bool
	}{
		{"inactive", 10, false}, // the file has another one
		{"active", 11, true},    // which the file has switched off
		{"active", 8, true},     // which row 9 has switched off
		{"inactive", 1, false},  // there is sip:10.0.1.13
		{"inactive", 5, true},
	} {
		_, _, stderr := s.run("dispatcher", "set-state", strconv.Itoa(tt.id), tt.state)
		if noted := strings.Contains(stderr, note); noted != tt.noted {
			t.Errorf("row %d %s: noted is %v, want %v: %s", tt.id, tt.state, noted, tt.noted, stderr)
		}
	}
}
