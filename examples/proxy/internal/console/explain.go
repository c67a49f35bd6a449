package console

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/sipward/sipward/examples/proxy/internal/config"
)

func explainOperation() operation {
	return operation{
		name: "explain", args: `-from IP:PORT [-transport T] FILE|-|"METHOD R-URI"`, least: 1, most: 1, noDatabase: true,
		synopsis: "tell what the running proxy would do with a message, and why",
		details: `
The message is read from FILE, or from the standard input if that is "-"; its
lines may end without CR. METHOD R-URI is short for a request that says little
else; -to, -caller and -header add to it. The proxy is the one at the admin
address of the configuration. It sends, counts and changes nothing.

Targets with the same number are tried at once, those with the next one if they
fail.`,
		setup: func(flags *flag.FlagSet) func(context.Context, *session) error {
			var x explained
			flags.TextVar(&x.from, "from", netip.AddrPort{}, "address `IP:PORT` that the message comes from")
			flags.StringVar(&x.transport, "transport", "udp", "what it comes over: udp, tcp, tls, ws or wss")
			flags.StringVar(&x.to, "to", "", "`URI` of To; that of the request if there is none")
			flags.StringVar(&x.caller, "caller", "", "`URI` of From; an anonymous one if there is none, of a REGISTER that of To")
			flags.Func("header", "further header `FIELD`; may be given several times", func(field string) error {
				x.fields = append(x.fields, field)
				return nil
			})
			return x.ask
		},
	}
}

// explained is a message to be explained.
type explained struct {
	from       netip.AddrPort
	transport  string
	to, caller string // of a message that is made here
	fields     []string
}

// ask has the proxy explain the message that the argument of s names.
func (x *explained) ask(ctx context.Context, s *session) error {
	if !x.from.IsValid() {
		return usage(errors.New("-from IP:PORT is missing: what becomes of a message depends on where it comes from"))
	}
	var at config.Listener // which has the same form
	if err := at.UnmarshalText([]byte(x.transport + ":" + x.from.String())); err != nil {
		return usage(err)
	}
	text, err := x.message(s.args[0])
	if err != nil {
		return err
	}
	query := url.Values{"from": {x.from.String()}, "transport": {x.transport}}
	if s.out.json {
		query.Set("json", "1")
	}
	status, body, err := s.askProxy(ctx, http.MethodPost, "/debug/explain", query, text)
	switch {
	case err != nil:
		return s.unanswered(err)
	case status == http.StatusBadRequest:
		return errors.New(cell(strings.TrimSpace(string(body))))
	case status != http.StatusOK, s.out.json && !json.Valid(body):
		return fmt.Errorf("what is at %v is no proxy that can explain: %s", s.cfg.Admin, answerText(status, body))
	}
	return s.out.print(json.RawMessage(body), func(w io.Writer) {
		for line := range strings.Lines(string(body)) {
			fmt.Fprintln(w, cell(strings.TrimSuffix(line, "\n")))
		}
	})
}

// message returns the text of the message that an argument names.
func (x *explained) message(arg string) (string, error) {
	if method, uri, ok := strings.Cut(arg, " "); ok && method == strings.ToUpper(method) && strings.Contains(uri, ":") {
		return x.write(method, uri), nil
	}
	if x.to != "" || x.caller != "" || len(x.fields) > 0 {
		return "", usage(errors.New("-to, -caller and -header are for METHOD R-URI, and not for a whole message"))
	}
	if arg == "-" {
		text, err := io.ReadAll(os.Stdin)
		return withCR(string(text)), err
	}
	text, err := os.ReadFile(arg)
	return withCR(string(text)), err
}

// withCR returns a message as it is sent, if that has been lost in an editor: with
// CR before each line's end, and an empty line behind the header.
func withCR(text string) string {
	if strings.Contains(text, "\r\n") {
		return text
	}
	text = strings.ReplaceAll(text, "\n", "\r\n")
	if !strings.Contains(text, "\r\n\r\n") {
		text = strings.TrimSuffix(text, "\r\n") + "\r\n\r\n"
	}
	return text
}

// write writes a request.
func (x *explained) write(method, uri string) string {
	to, caller := x.to, x.caller
	if to == "" {
		to = uri
	}
	if caller == "" {
		if caller = "sip:anonymous@anonymous.invalid"; method == "REGISTER" { // RFC 3323 section 4.1.1.3
			caller = to
		}
	}
	lines := []string{
		method + " " + uri + " SIP/2.0",
		fmt.Sprintf("Via: SIP/2.0/%s %v;branch=z9hG4bKexplain;rport", strings.ToUpper(x.transport), x.from),
		"Max-Forwards: 70",
		"From: <" + caller + ">;tag=explain",
		"To: <" + to + ">",
		"Call-ID: explain",
		"CSeq: 1 " + method,
	}
	lines = append(lines, x.fields...)
	return strings.Join(append(lines, "Content-Length: 0", "", ""), "\r\n")
}
