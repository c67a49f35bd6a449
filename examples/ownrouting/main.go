// Ownrouting shows how to write routing logic so that it can be tested in
// isolation: a function of library values, which needs neither sockets nor a
// server nor a PBX. Its rules are in Route, and main_test.go tests them.
//
//	go run ./examples/ownrouting
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/netip"
	"os"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant"
)

// Router knows all that routing depends on. Both fields are interfaces: in
// production a tenant.Live and a store in MariaDB, in tests a tenant.Table and
// a location.Memory.
type Router struct {
	Tenants tenant.Resolver
	Store   location.Store
}

// Decision is one of three things: phones to ring, a dispatcher set to send
// to, or a status to answer with.
type Decision struct {
	Phones []location.Binding
	Set    int
	Status int
}

// reception answers for everybody who is not there.
const reception = "100"

// Route decides where a request from src to target goes. Phones reach the set
// of the domain they name. A PBX reaches the phones of its own tenant, and the
// tenant's reception if nobody else is there.
func (r *Router) Route(ctx context.Context, src netip.AddrPort, target location.URI) (Decision, error) {
	m, err := r.Tenants.Resolve(ctx, tenant.Query{Source: src, Domain: target.Host})
	switch {
	case errors.Is(err, tenant.ErrUnknown), errors.Is(err, tenant.ErrAmbiguous), errors.Is(err, tenant.ErrForeign):
		return Decision{Status: 404}, nil // never guess whose phone it might be
	case err != nil:
		return Decision{}, err
	case !m.FromPBX:
		return Decision{Set: m.Tenant.SetID}, nil
	}
	user, err := location.UnescapeUser(target.User)
	if err != nil {
		return Decision{Status: 404}, nil
	}
	for _, called := range [...]string{user, reception} {
		aor, err := location.MakeAOR(called, m.Domain)
		if err != nil {
			return Decision{Status: 404}, nil
		}
		phones, err := r.Store.Lookup(ctx, aor)
		if err != nil || len(phones) > 0 {
			return Decision{Phones: phones}, err
		}
	}
	return Decision{Status: 480}, nil
}

// String returns the decision in one line.
func (d Decision) String() string {
	switch {
	case d.Status != 0:
		return fmt.Sprintf("answer %d", d.Status)
	case d.Phones == nil:
		return fmt.Sprintf("send to set %d", d.Set)
	}
	s := "ring"
	for _, b := range d.Phones {
		s += " " + b.Contact
	}
	return s
}

func main() {
	router, err := newOffice()
	if err != nil {
		log.Fatal(err)
	}
	if err := show(os.Stdout, router); err != nil {
		log.Fatal(err)
	}
}

// show prints some decisions. One request differs from the next only in where
// it comes from.
func show(out io.Writer, r *Router) error {
	target, err := location.ParseURI("sip:401@203.0.113.1")
	if err != nil {
		return err
	}
	for _, src := range []string{"10.0.1.10:5060", "10.0.2.10:5060", "192.0.2.66:5060"} {
		d, err := r.Route(context.Background(), netip.MustParseAddrPort(src), target)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "INVITE sip:401@203.0.113.1 from %-15s: %s\n", src, d)
	}
	return nil
}
