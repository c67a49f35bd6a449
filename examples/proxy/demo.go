package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/internal/ua"
)

// extension is what all customers of the demonstration have.
const extension = "401"

// demo tells the whole story on loopback: three customers that all have an
// extension 401, each with a PBX and a phone, and the proxy between them. It
// fails if any phone rings that should not.
func demo(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if err := parse(flag.NewFlagSet("proxy demo", flag.ContinueOnError), args, stderr); err != nil {
		return usage(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	s, err := newStage()
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for _, a := range s.agents() {
		running.Go(func() { a.Run(ctx) })
	}
	p, err := newProxy(ctx, s.config(), slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			failed <- err
			cancel()
		}
	})
	err = s.play(ctx, stdout)
	select {
	case e := <-failed:
		return e
	default:
		return err
	}
}

// stage has everybody who takes part.
type stage struct {
	proxy     netip.AddrPort
	customers []customer
	stranger  *ua.PBX // of no customer
}

type customer struct {
	name  string
	pbx   *ua.PBX
	phone *ua.Phone
}

func (c *customer) domain() string { return "tenant-" + strings.ToLower(c.name) + ".test" }

// newStage opens all sockets. Different loopback addresses stand for different
// hosts; where a system has only one, different ports do.
func newStage() (*stage, error) {
	s := &stage{}
	probe, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	s.proxy = probe.LocalAddr().(*net.UDPAddr).AddrPort()
	if err := probe.Close(); err != nil {
		return nil, err
	}
	for i, name := range []string{"A", "B", "C"} {
		c := customer{name: name}
		if c.pbx, err = ua.NewPBX(host(1, byte(10*(i+1))), c.domain(), "secret-"+name); err != nil {
			return nil, err
		}
		if c.phone, err = ua.NewPhone(host(2, byte(10*(i+1))), c.domain(), extension, "secret-"+name); err != nil {
			return nil, err
		}
		s.customers = append(s.customers, c)
	}
	s.stranger, err = ua.NewPBX(host(9, 9), "elsewhere.test", "")
	return s, err
}

// host returns 127.0.net.n, any port.
func host(net, n byte) netip.AddrPort {
	addr := netip.AddrFrom4([4]byte{127, 0, net, n})
	if !bindable(addr) {
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.AddrPortFrom(addr, 0)
}

func bindable(addr netip.Addr) bool {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: addr.AsSlice()})
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func (s *stage) agents() []*ua.Agent {
	all := []*ua.Agent{s.stranger.Agent}
	for _, c := range s.customers {
		all = append(all, c.pbx.Agent, c.phone.Agent)
	}
	return all
}

// config is what an operator would write for these customers.
func (s *stage) config() *config.Config {
	var b strings.Builder
	fmt.Fprintf(&b, "listen: [\"udp:%s\"]\nadmin: \"\"\nsecret: only-for-the-demonstration\ntenants:\n", s.proxy)
	for i, c := range s.customers {
		fmt.Fprintf(&b, "  - setid: %d\n    domains: [%s]\n    destinations: [{uri: \"sip:%s\"}]\n", 10*(i+1), c.domain(), c.pbx.Addr())
	}
	cfg, err := config.Parse([]byte(b.String()), "demo", func(string) string { return "" })
	if err != nil {
		panic(err) // it is written above
	}
	return cfg
}

var errWrongPhone = errors.New("a wrong phone rang")

// play runs the story and draws what happened.
func (s *stage) play(ctx context.Context, w io.Writer) error {
	fmt.Fprintf(w, "\n  Three customers. Each has a PBX, a phone, and an extension %s.\n\n", extension)
	for i := range s.customers {
		c := &s.customers[i]
		status, challenged, err := c.phone.Register(ctx, s.proxy)
		if err != nil || status != 200 || !challenged {
			return fmt.Errorf("phone %s: registration ended with %d (challenged: %v): %w", c.name, status, challenged, err)
		}
		fmt.Fprintf(w, "     phone %s@%s ──► proxy ──► PBX %s    401 challenge, digest, 200 OK\n", extension, c.domain(), c.name)
	}
	target := fmt.Sprintf("sip:%s@%s", extension, s.proxy)
	fmt.Fprintf(w, "\n  Now every PBX calls the very same address:  INVITE %s\n\n", target)
	rows, err := s.calls(ctx, target)
	if err != nil {
		return err
	}
	s.draw(w, rows)
	for i, row := range rows {
		for j, rang := range row.rang {
			if rang != (i == j) {
				return errWrongPhone
			}
		}
	}
	fmt.Fprintf(w, "\n  Same extension, three customers, never the wrong phone.\n\n")
	return nil
}

// row is what one call did.
type row struct {
	caller string
	rang   []bool // by phone
	status int    // 0: no answer
}

// calls has each PBX call, and then a stranger.
func (s *stage) calls(ctx context.Context, target string) ([]row, error) {
	var rows []row
	for _, c := range s.customers {
		r, err := s.call(ctx, "PBX "+c.name, c.pbx.Agent, target)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	patience, cancel := context.WithTimeout(ctx, 1200*time.Millisecond)
	defer cancel()
	r, err := s.call(patience, "a stranger", s.stranger.Agent, target)
	if err != nil && !errors.Is(err, ua.ErrNoAnswer) {
		return nil, err
	}
	return append(rows, r), ctx.Err()
}

func (s *stage) call(ctx context.Context, name string, from *ua.Agent, target string) (row, error) {
	before := s.rings()
	status, err := from.Call(ctx, s.proxy, target)
	r := row{caller: name, status: status}
	for i, n := range s.rings() {
		r.rang = append(r.rang, n > before[i])
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return r, err
}

func (s *stage) rings() []int {
	var n []int
	for _, c := range s.customers {
		n = append(n, c.phone.Rings())
	}
	return n
}

// draw shows who rang.
func (s *stage) draw(w io.Writer, rows []row) {
	fmt.Fprintf(w, "                      ")
	for _, c := range s.customers {
		fmt.Fprintf(w, "%-13s", "phone "+c.name)
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		fmt.Fprintf(w, "     %-12s ──► ", r.caller)
		for _, rang := range r.rang {
			mark := "·"
			if rang {
				mark = "RINGS"
			}
			fmt.Fprintf(w, "%-13s", mark)
		}
		if r.status == 0 {
			fmt.Fprint(w, "refused without an answer")
		} else {
			fmt.Fprintf(w, "%d", r.status)
		}
		fmt.Fprintln(w)
	}
}
