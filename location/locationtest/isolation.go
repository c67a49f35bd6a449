package locationtest

import (
	"slices"

	"github.com/sipward/sipward/location"
)

var isolationRules = []rule{
	{"Domains", "An AOR is a user in a domain: no call for one domain sees or changes another domain's user of the same name.", checkDomains},
	{"Users", "Users differ if any byte does: case, accents, blanks and wildcards included.", checkUsers},
	{"SameContact", "A Contact that several AORs have is a binding of each of them.", checkSameContact},
}

func checkDomains(f *fixture) {
	a, b := f.aor("201", "a.example"), f.aor("201", "b.example")
	inA, inB := f.device(), f.device()
	f.put(a, &inA)
	f.want(a, inA)
	f.want(b)
	f.put(b, &inB)
	f.want(a, inA)
	f.want(b, inB)

	// Nothing that is done to b touches a, even if it names a's binding.
	other := f.device()
	f.apply(b, location.Change{CallID: "x", Remove: []location.Binding{inA}})
	f.put(b, &other)
	f.apply(b, location.Change{CallID: "x", Reset: true, Put: []location.Binding{other}, Keep: 1})
	f.want(a, inA)
	f.want(b, other)
}

// likeAORs returns AORs that careless stores take for each other.
func (f *fixture) likeAORs() []location.AOR {
	f.Helper()
	aors := []location.AOR{
		f.aor("201", "a.example"),
		f.aor("201", "a.example.org"),
		f.aor("201", "sub.a.example"),
		f.aor("201", "192.0.2.1"),
		f.aor("201", "2001:db8::1"),
		f.aor("201@a.example", "b.example"),
	}
	users := []string{
		"20", "2011", "0201", "201.0", "2_1", "2%", "%", "201 ", " 201", "bob", "Bob", "BOB", "b\u00f6b", "bo\u0308b",
		"strasse", "stra\u00dfe", "b%6Fb", "bob;phone-context=a.example", "*", "\U0001f4de", "\U0001f4df", `\`, `\\`,
	}
	for _, u := range users {
		aors = append(aors, f.aor(u, "a.example"))
	}
	return aors
}

func checkUsers(f *fixture) {
	aors := f.likeAORs()
	bs := make([]location.Binding, len(aors))
	for i, aor := range aors {
		bs[i] = f.device()
		f.put(aor, &bs[i])
	}
	for i, aor := range aors {
		f.want(aor, bs[i])
	}
	for i, aor := range slices.Backward(aors) {
		f.apply(aor, location.Change{CallID: "x", Reset: true})
		f.want(aor)
		for j := range i {
			f.want(aors[j], bs[j])
		}
	}
}

func checkSameContact(f *fixture) {
	aors := []location.AOR{f.aor("201", "a.example"), f.aor("202", "a.example"), f.aor("201", "b.example")}
	b := f.device()
	b.Instance, b.RegID = "<urn:uuid:1>", 1
	for _, aor := range aors {
		f.put(aor, &b)
	}
	f.apply(aors[0], location.Change{CallID: b.CallID, CSeq: 2, Remove: []location.Binding{b}})
	f.want(aors[0])
	for _, aor := range aors[1:] {
		if n := len(f.lookup(aor)); n != 1 {
			f.Errorf("%q has %d bindings, want 1", aor, n)
		}
	}
}
