package console

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mysqlloc"
)

func locationOperations() []operation {
	return []operation{
		{
			name: "location list", args: "[DOMAIN]", most: 1, setup: plain((*session).listBindings),
			synopsis: "show the live bindings of a domain, or all, in no order",
		},
		{
			name: "location show", args: "USER@DOMAIN", least: 1, most: 1, setup: plain((*session).showBindings),
			synopsis: "show where a user is, best Contact first",
		},
		{
			name: "location rm", args: "USER@DOMAIN [CONTACT]", least: 1, most: 2, setup: plain((*session).removeBindings),
			synopsis: "remove the bindings of a user, or the one with this Contact URI",
			details: `
A proxy that runs at the admin address of the configuration forgets them, too.
The phone comes back when it registers again.`,
		},
	}
}

// bindingView is a binding as it is shown.
type bindingView struct {
	AOR       string    `json:"aor"`
	Contact   string    `json:"contact"`
	Received  string    `json:"received"` // where the phone is
	Socket    string    `json:"socket"`   // where it registered
	Expires   time.Time `json:"expires"`
	Updated   time.Time `json:"updated"`
	Q         *float64  `json:"q"` // null if the phone gave none
	Path      string    `json:"path,omitempty"`
	CallID    string    `json:"call_id"`
	CSeq      uint32    `json:"cseq"`
	Instance  string    `json:"instance,omitempty"`
	RegID     int       `json:"reg_id,omitempty"`
	UserAgent string    `json:"user_agent"`
	Token     string    `json:"token,omitempty"`
	Registrar string    `json:"registrar,omitempty"` // the PBX that granted it
}

func viewBinding(aor location.AOR, b location.Binding) bindingView {
	v := bindingView{
		AOR: aor.String(), Contact: b.Contact, Expires: b.Expires.UTC(), Updated: b.Updated.UTC(),
		Path: b.Path, CallID: b.CallID, CSeq: b.CSeq, Instance: b.Instance, RegID: b.RegID,
		UserAgent: b.UserAgent, Token: b.Token, Registrar: b.Registrar,
	}
	if b.Flow.Remote.IsValid() {
		v.Received = b.Flow.Transport + ":" + b.Flow.Remote.String()
	}
	if b.Flow.Local.IsValid() {
		v.Socket = b.Flow.Transport + ":" + b.Flow.Local.String()
	}
	if b.Q != location.QUnspecified {
		q := float64(b.Q) / 1000
		v.Q = &q
	}
	return v
}

const bindingHeader = "AOR                             EXPIRES               RECEIVED                        CONTACT\n"

// print prints a line. Its columns do not depend on other lines, so that a
// million of them need no memory.
func (v bindingView) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%-30s  %s  %-30s  %s\n", cell(v.AOR), v.Expires.Format(time.RFC3339), cell(v.Received), cell(v.Contact))
	return err
}

// openStore opens the store, with a hook for rows that cannot be read. The
// caller closes the store.
func (s *session) openStore(ctx context.Context, bad func(id uint64, err error)) (*mysqlloc.Store, error) {
	store, err := mysqlloc.New(ctx, s.db, mysqlloc.Config{OnBadRow: bad})
	return store, hint(err)
}

// listBindings shows bindings one by one as they are read.
func (s *session) listBindings(ctx context.Context) error {
	var domain string
	if len(s.args) > 0 {
		var err error
		if domain, err = parseDomain(s.args[0]); err != nil {
			return err
		}
	}
	var bad badRows
	store, err := s.openStore(ctx, bad.add)
	if err != nil {
		return err
	}
	defer store.Close()
	list, err := s.out.list("bindings", bindingHeader)
	if err != nil {
		return err
	}
	for e, err := range store.All(ctx) {
		if err == nil && (domain == "" || e.AOR.Domain() == domain) {
			err = list.add(viewBinding(e.AOR, e.Binding))
		}
		if err != nil {
			return list.end(err)
		}
	}
	for _, text := range bad.texts() {
		s.note("%s", text)
	}
	return list.end(nil)
}

// badRows are rows of location that cannot be read: the first few by what is
// wrong with them, the others by their number.
type badRows struct {
	first []string
	more  int
}

func (b *badRows) add(id uint64, err error) {
	if len(b.first) == 10 {
		b.more++
		return
	}
	b.first = append(b.first, fmt.Sprintf("row %d of location cannot be read: %s", id, oneLine(err)))
}

func (b *badRows) texts() []string {
	if b.more == 0 {
		return b.first
	}
	return append(b.first, fmt.Sprintf("%d more rows of location cannot be read", b.more))
}

// showBindings shows the bindings of an AOR.
func (s *session) showBindings(ctx context.Context) error {
	aor, store, err := s.openAOR(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	found, err := store.Lookup(ctx, aor)
	if err != nil {
		return err
	}
	views := viewBindings(aor, found)
	return s.out.print(struct {
		AOR      string        `json:"aor"`
		Bindings []bindingView `json:"bindings"`
	}{aor.String(), views}, func(w io.Writer) {
		if len(views) == 0 {
			fmt.Fprintf(w, "%s: not registered\n", cell(aor.String()))
		}
		for _, v := range views {
			v.describe(w)
		}
	})
}

// openAOR returns the AOR that the first argument is, and the store. The caller
// closes it.
func (s *session) openAOR(ctx context.Context) (location.AOR, *mysqlloc.Store, error) {
	aor, err := location.ParseAOR(s.args[0])
	if err != nil {
		return location.AOR{}, nil, usage(err)
	}
	store, err := s.openStore(ctx, func(id uint64, err error) { s.note("row %d of location cannot be read: %v", id, err) })
	return aor, store, err
}

func viewBindings(aor location.AOR, bindings []location.Binding) []bindingView {
	views := []bindingView{}
	for _, b := range bindings {
		views = append(views, viewBinding(aor, b))
	}
	return views
}

// describe prints all there is to be said of a binding, in lines.
func (v bindingView) describe(w io.Writer) {
	q := "-"
	if v.Q != nil {
		q = fmt.Sprint(*v.Q)
	}
	fmt.Fprintf(w, "%s\t%s\n", cell(v.AOR), cell(v.Contact))
	for _, line := range [][2]string{
		{"expires", v.Expires.Format(time.RFC3339)}, {"updated", v.Updated.Format(time.RFC3339)},
		{"received", v.Received}, {"socket", v.Socket}, {"q", q}, {"path", v.Path},
		{"Call-ID, CSeq", fmt.Sprintf("%s, %d", v.CallID, v.CSeq)},
		{"instance", v.Instance}, {"User-Agent", v.UserAgent}, {"token", v.Token}, {"registrar", v.Registrar},
	} {
		fmt.Fprintf(w, "  %s\t%s\n", line[0], cell(line[1]))
	}
}

// removeBindings removes bindings of an AOR, and shows them.
func (s *session) removeBindings(ctx context.Context) error {
	aor, store, err := s.openAOR(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	// No REGISTER has this Call-ID, so that the change is never stale.
	change := location.Change{CallID: "proxy location rm", Reset: true}
	found, err := store.Lookup(ctx, aor)
	if err != nil {
		return err
	}
	if len(s.args) == 2 {
		only := location.Binding{Contact: s.args[1]}
		change.Reset, change.Remove = false, []location.Binding{only}
		found = slices.DeleteFunc(found, func(b location.Binding) bool { return !location.EqualURI(b.Contact, only.Contact) })
	}
	if len(found) > 0 {
		err = store.Apply(ctx, aor, change)
	}
	if err != nil {
		return err
	}
	s.forget(ctx, aor) // also what is in its memory only
	if len(found) == 0 {
		return fmt.Errorf("%v has no such binding", aor)
	}
	views := viewBindings(aor, found)
	return s.out.print(struct {
		AOR     string        `json:"aor"`
		Removed []bindingView `json:"removed"`
	}{aor.String(), views}, func(w io.Writer) {
		for _, v := range views {
			fmt.Fprintf(w, "%s: removed %s\n", cell(v.AOR), cell(v.Contact))
		}
	})
}
