package registrar_test

import (
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/registrar"
)

// FuzzGranted mutates the parts of a REGISTER and its 200 that decide. It must
// not panic, must put nothing that was not asked for, and must grant more time
// than asked only where the answer lists that contact. P-04.
func FuzzGranted(f *testing.F) {
	f.Add(baresip+";expires=60", "60", baresip+";expires=59", "60")
	f.Add(baresip+";expires=10", "", baresip+";expires=3600", "")
	f.Add("*", "0", "", "")
	f.Add(linphone+","+snom+";expires=0", "300", "<sip:401@10.0.0.1>;expires=5,<sip:402@[::1]:5070>", "7")
	f.Add(baresip+";reg-id=1;"+instance, "x", "<sip:x@y>;reg-id=1;"+instance+";expires=99999999999", "-1")
	f.Add(`"a\"" <sip:a@b;x="1">;expires="5"`, "1, 2", "sip:a@b;expires=5;q=2", "")
	p := reduced()
	f.Fuzz(func(t *testing.T, asks, askedExpires, grants, grantedExpires string) {
		reqMsg, err := p.ParseSIP([]byte(register("Contact: "+asks, "Expires: "+askedExpires)))
		if err != nil {
			return
		}
		resMsg, err := p.ParseSIP([]byte(answer(200, "Contact: "+grants, "Expires: "+grantedExpires)))
		if err != nil {
			return
		}
		req, res := reqMsg.(*sip.Request), resMsg.(*sip.Response)
		g, err := newRegistrar(t, registrar.Config{}).Begin(req, location.Flow{})
		if err != nil {
			return
		}
		c, err := g.Change(res)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Put)+len(c.Remove) != len(g.Asked)+len(g.Removed) {
			t.Fatalf("asked for %d and %d, changed %d and %d", len(g.Asked), len(g.Removed), len(c.Put), len(c.Remove))
		}
		asked := map[string]time.Duration{}
		for _, b := range g.Asked {
			asked[b.Contact] = max(asked[b.Contact], b.Expires.Sub(start))
		}
		for _, b := range c.Put {
			want, ok := asked[b.Contact]
			if life := b.Expires.Sub(start); !ok || life <= 0 || life > want && !listed(grants, b) {
				t.Errorf("%s lives %v, asked for %v", b.Contact, life, want)
			}
		}
	})
}

// listed reports whether a Contact header field value can be said to list b.
func listed(value string, b location.Binding) bool {
	cs, err := location.ParseContacts([]string{value})
	if err != nil {
		return false
	}
	mine, _ := location.ParseURI(b.Contact)
	for _, c := range cs {
		u, err := location.ParseURI(c.URI)
		switch {
		case location.EqualURI(c.URI, b.Contact),
			b.Instance != "" && c.Instance() == b.Instance,
			err == nil && u.User == mine.User:
			return true
		}
	}
	return false
}
