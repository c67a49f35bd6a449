package registrar_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
	"github.com/emiago/sipgo/siptest"
	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/registrar"
)

// replies returns a handler that answers with text.
func replies(t testing.TB, p *sip.Parser, text string) sipgo.RequestHandler {
	return func(_ *sip.Request, tx sip.ServerTransaction) {
		if err := tx.Respond(parse[*sip.Response](t, p, text)); err != nil {
			t.Error(err)
		}
	}
}

// values returns the Contact header fields of a message as they go out.
func values(res *sip.Response) []string {
	var out []string
	for _, h := range res.Headers() {
		if strings.EqualFold(h.Name(), "Contact") || h.Name() == "m" {
			out = append(out, h.String())
		}
	}
	return out
}

// TestWrap_PassesAnswers proves that answers leave as they came. P-21 P-75.
func TestWrap_PassesAnswers(t *testing.T) {
	contacts := []string{
		`Contact: "a, \"b\"" <sip:402-0x55777cf2d400@127.0.2.12:5060;x=1> ; expires=599;q=0.10, <sip:402@198.51.100.9>;expires=17`,
		"m: sip:403@127.0.2.13;expires=5;+sip.instance=\"<urn:uuid:1>\"",
	}
	for _, code := range []int{100, 200, 302, 401, 407, 423, 494, 503} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			req := parse[*sip.Request](t, reduced(), register("Contact: "+baresip))
			rec := siptest.NewServerTxRecorder(req)
			extra := []string{`WWW-Authenticate: Digest realm="asterisk"`, "Min-Expires: 60"}
			newRegistrar(t, registrar.Config{}).Wrap(replies(t, reduced(), answer(code, append(contacts, extra...)...)))(req, rec)

			sent := rec.Result()
			if len(sent) != 1 || sent[0].StatusCode != code {
				t.Fatalf("sent %v", sent)
			}
			if diff := cmp.Diff(values(sent[0]), contacts); diff != "" {
				t.Errorf("Contact: -got +want:\n%s", diff)
			}
			for _, h := range extra {
				if !strings.Contains(sent[0].String(), h+"\r\n") {
					t.Errorf("lost %q", h)
				}
			}
		})
	}
}

// transaction is a server transaction that shows what is sent at the instant
// it is sent.
type transaction struct {
	sip.ServerTransaction
	respond func(*sip.Response)
}

func (tx transaction) Respond(res *sip.Response) error {
	tx.respond(res)
	return nil
}

// TestWrap_StoresBeforeItAnswers proves that a call that comes as early as the
// 200 finds the phone. P-05.
func TestWrap_StoresBeforeItAnswers(t *testing.T) {
	const workers, rounds = 4, 250
	store := location.NewMemory(location.MemoryConfig{})
	r, err := registrar.New(registrar.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	handler := r.Wrap(replies(t, reduced(), answer(200, "Contact: "+baresip+";expires=60")))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				aor := fmt.Sprintf("%d@tenant-%d.test", i, w)
				text := strings.Replace(register("Contact: "+baresip), "402@tenant-a.test", aor, 1)
				hit := false
				handler(parse[*sip.Request](t, reduced(), text), transaction{respond: func(*sip.Response) {
					hit = len(lookup(t, store, aor)) == 1
				}})
				if !hit {
					t.Errorf("%s: not found while its 200 was written", aor)
				}
			}
		})
	}
	wg.Wait()
}

func TestWrap_StoreFails(t *testing.T) {
	down := errors.New("database is down")
	for _, failOpen := range []bool{false, true} {
		t.Run(fmt.Sprintf("FailOpen=%t", failOpen), func(t *testing.T) {
			var log strings.Builder
			r := newRegistrar(t, registrar.Config{
				Store: failing{down}, FailOpen: failOpen, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			req := parse[*sip.Request](t, reduced(), register("Contact: "+baresip))
			rec := siptest.NewServerTxRecorder(req)
			r.Wrap(func(req *sip.Request, tx sip.ServerTransaction) {
				req.RemoveHeader("Via") // the 500 must not be made from what is left
				replies(t, reduced(), answer(200, "Contact: "+baresip))(req, tx)
				if !failOpen { // a repeated 200 must not follow the 500
					replies(t, reduced(), answer(200, "Contact: "+baresip))(req, tx)
				}
			})(req, rec)

			sent := rec.Result()
			if len(sent) != 1 {
				t.Fatalf("sent %v", sent)
			}
			got, want := sent[0], 500
			if failOpen {
				want = 200
			}
			if got.StatusCode != want {
				t.Errorf("sent %d, want %d", got.StatusCode, want)
			}
			if got.Via() == nil || got.To() == nil || got.From() == nil || got.CallID() == nil || got.CSeq() == nil {
				t.Errorf("sent an incomplete answer:\n%s", got)
			}
			if want == 500 && len(values(got)) > 0 {
				t.Errorf("the 500 has a Contact:\n%s", got)
			}
			if !strings.Contains(log.String(), down.Error()) {
				t.Errorf("log %q", log.String())
			}
		})
	}
}

func TestWrap_Refuses(t *testing.T) {
	tests := []struct {
		name string
		text string
		want int
	}{
		{"malformed", register("Contact: *"), 400},
		{"no such user", strings.Replace(register("Contact: "+baresip), "402@tenant-a.test", "402@elsewhere.test", 1), 404},
	}
	r := newRegistrar(t, registrar.Config{AOR: func(req *sip.Request) (location.AOR, error) {
		if to := req.To(); to.Address.Host != "tenant-a.test" {
			return location.AOR{}, errors.New("unknown domain")
		}
		return location.MakeAOR("402", "tenant-a.test")
	}})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := parse[*sip.Request](t, reduced(), tt.text)
			rec := siptest.NewServerTxRecorder(req)
			r.Wrap(func(*sip.Request, sip.ServerTransaction) { t.Error("forwarded") })(req, rec)
			if sent := rec.Result(); len(sent) != 1 || sent[0].StatusCode != tt.want {
				t.Errorf("sent %v, want %d", sent, tt.want)
			}
		})
	}
}

func TestWrap_Transaction(t *testing.T) {
	r := newRegistrar(t, registrar.Config{})
	t.Run("unwraps", func(t *testing.T) {
		req := parse[*sip.Request](t, reduced(), register())
		rec := siptest.NewServerTxRecorder(req)
		r.Wrap(func(_ *sip.Request, tx sip.ServerTransaction) {
			u, ok := tx.(interface{ Unwrap() sip.ServerTransaction })
			if !ok || u.Unwrap() != rec {
				t.Errorf("got %T", tx)
			}
		})(req, rec)
	})
	t.Run("leaves other methods alone", func(t *testing.T) {
		req := parse[*sip.Request](t, reduced(), strings.ReplaceAll(register(), "REGISTER", "OPTIONS"))
		rec := siptest.NewServerTxRecorder(req)
		r.Wrap(func(_ *sip.Request, tx sip.ServerTransaction) {
			if tx != rec {
				t.Errorf("got %T", tx)
			}
		})(req, rec)
	})
}

func TestWrap_BaseContext(t *testing.T) {
	type key struct{}
	var got any
	store := storeFunc(func(ctx context.Context) error {
		got = ctx.Value(key{})
		return nil
	})
	r := newRegistrar(t, registrar.Config{Store: store, BaseContext: func() context.Context {
		return context.WithValue(t.Context(), key{}, "value")
	}})
	req := parse[*sip.Request](t, reduced(), register("Contact: "+baresip))
	r.Wrap(replies(t, reduced(), answer(200, "Contact: "+baresip)))(req, siptest.NewServerTxRecorder(req))
	if got != "value" {
		t.Errorf("the store saw %v", got)
	}
}

type storeFunc func(ctx context.Context) error

func (f storeFunc) Lookup(context.Context, location.AOR) ([]location.Binding, error) { return nil, nil }

func (f storeFunc) Apply(ctx context.Context, _ location.AOR, _ location.Change) error { return f(ctx) }

// TestWrap_PlainServer registers at a sipgo server over UDP: challenge, then
// the second REGISTER with credentials, whose 200 is the one that counts. P-62.
func TestWrap_PlainServer(t *testing.T) {
	store := location.NewMemory(location.MemoryConfig{})
	r, err := registrar.New(registrar.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	server := serve(t, r.Wrap(func(req *sip.Request, tx sip.ServerTransaction) {
		res := sip.NewResponseFromRequest(req, 401, "Unauthorized", nil)
		if req.GetHeader("Authorization") != nil {
			res = sip.NewResponseFromRequest(req, 200, "OK", nil)
			res.AppendHeader(sip.NewHeader("Contact", baresip+";expires=60"))
		}
		if err := tx.Respond(res); err != nil {
			t.Error(err)
		}
	}))
	phone, err := net.Dial("udp", server)
	if err != nil {
		t.Fatal(err)
	}
	defer phone.Close()
	for i, want := range []int{401, 200} {
		lines := []string{"Contact: " + baresip, `Authorization: Digest username="402"`}
		text := register(lines[:1+i]...)
		text = strings.Replace(text, "42444", fmt.Sprint(42443+i), 1)
		text = strings.Replace(text, "z9hG4bK7bf3241ecae2d1b3", fmt.Sprint("z9hG4bK", i), 1)
		if _, err := phone.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 2000)
		n, err := phone.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if got := parse[*sip.Response](t, reduced(), string(buf[:n])); got.StatusCode != want {
			t.Fatalf("got %d, want %d", got.StatusCode, want)
		}
		bs := lookup(t, store, "402@tenant-a.test")
		if len(bs) != i {
			t.Fatalf("after %d: %d bindings", want, len(bs))
		}
		if i == 1 {
			f := bs[0].Flow
			if f.Transport != "udp" || f.Remote.String() != phone.LocalAddr().String() || f.Local.String() != server {
				t.Errorf("flow %+v", f)
			}
		}
	}
}

// serve runs a sipgo server for REGISTER and returns its address.
func serve(t *testing.T, h sipgo.RequestHandler) string {
	t.Helper()
	ua, err := sipgo.NewUA()
	if err != nil {
		t.Fatal(err)
	}
	srv, err := sipgo.NewServer(ua, sipgo.WithServerLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	srv.OnRegister(h)
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.ServeUDP(conn) // ends when the test closes conn
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
		ua.Close()
	})
	return conn.LocalAddr().String()
}

// TestWrap_KeepsTheRequest proves that the handler gets the request untouched.
func TestWrap_KeepsTheRequest(t *testing.T) {
	for name, p := range parsers() {
		t.Run(name, func(t *testing.T) {
			req := parse[*sip.Request](t, p, register("Contact: "+linphone+", "+snom, "Expires: 60"))
			before := slices.Clone(req.Headers())
			text := req.String()
			newRegistrar(t, registrar.Config{}).Wrap(func(got *sip.Request, _ sip.ServerTransaction) {
				if got != req || got.String() != text || !slices.Equal(got.Headers(), before) {
					t.Errorf("got\n%s\nwant\n%s", got, text)
				}
			})(req, siptest.NewServerTxRecorder(req))
		})
	}
}
