package console_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/internal/console"
)

// oracle is an admin address that tells what it is asked.
type oracle struct {
	asked  string // query and body, lines ending in LF
	status int
	answer string
}

func (o *oracle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	o.asked = r.Method + " " + r.URL.String() + "\n" + strings.ReplaceAll(string(body), "\r\n", "\n")
	if strings.Contains(strings.ReplaceAll(string(body), "\r\n", ""), "\n") {
		o.asked = "a line without CR in " + o.asked
	}
	w.WriteHeader(o.status)
	io.WriteString(w, o.answer)
}

// TestExplain_Asks: what the proxy is sent for each kind of argument.
func TestExplain_Asks(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const message = "OPTIONS sip:a.test SIP/2.0\nCall-ID: x\n\nbody\n"
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"short", []string{"INVITE sip:401@a.test"}, `POST /debug/explain?from=203.0.113.5%3A5060&transport=udp
INVITE sip:401@a.test SIP/2.0
Via: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bKexplain;rport
Max-Forwards: 70
From: <sip:anonymous@anonymous.invalid>;tag=explain
To: <sip:401@a.test>
Call-ID: explain
CSeq: 1 INVITE
Content-Length: 0

`},
		{"with all that can be said", []string{"-json", "-transport", "tls", "REGISTER sip:a.test", "-to", "sip:401@a.test", "-header", "Contact: <sip:x@192.0.2.7>", "-header", "Expires: 60"},
			`POST /debug/explain?from=203.0.113.5%3A5060&json=1&transport=tls
REGISTER sip:a.test SIP/2.0
Via: SIP/2.0/TLS 203.0.113.5:5060;branch=z9hG4bKexplain;rport
Max-Forwards: 70
From: <sip:401@a.test>;tag=explain
To: <sip:401@a.test>
Call-ID: explain
CSeq: 1 REGISTER
Contact: <sip:x@192.0.2.7>
Expires: 60
Content-Length: 0

`},
		{"caller", []string{"MESSAGE sip:402@a.test", "-caller", "sip:401@a.test"}, `POST /debug/explain?from=203.0.113.5%3A5060&transport=udp
MESSAGE sip:402@a.test SIP/2.0
Via: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bKexplain;rport
Max-Forwards: 70
From: <sip:401@a.test>;tag=explain
To: <sip:402@a.test>
Call-ID: explain
CSeq: 1 MESSAGE
Content-Length: 0

`},
		{"file", []string{file("a", strings.ReplaceAll(message, "\n", "\r\n"))}, "POST /debug/explain?from=203.0.113.5%3A5060&transport=udp\n" + message},
		{"file of an editor", []string{file("b", message)}, "POST /debug/explain?from=203.0.113.5%3A5060&transport=udp\n" + message},
		{"file without an end", []string{file("c", "OPTIONS sip:a.test SIP/2.0\nCall-ID: x\n")},
			"POST /debug/explain?from=203.0.113.5%3A5060&transport=udp\nOPTIONS sip:a.test SIP/2.0\nCall-ID: x\n\n"},
		{"standard input", []string{"-"}, "POST /debug/explain?from=203.0.113.5%3A5060&transport=udp\n" + message},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stdin, err := os.Open(file("stdin", message))
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			defer func(before *os.File) { os.Stdin = before }(os.Stdin)
			os.Stdin = stdin
			o := &oracle{status: 200, answer: `{"decision": "<none>"}`}
			code, stdout, stderr := o.explain(t, tt.args...)
			if code != console.ExitDone || !strings.Contains(stdout, `"decision": "<none>"`) || stderr != "" {
				t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
			}
			if d := cmp.Diff(tt.want, o.asked); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestExplain_Answers: what becomes of what the proxy answers.
func TestExplain_Answers(t *testing.T) {
	tests := []struct {
		name, args   string
		status       int
		answer       string
		code         int
		stdout, says string
	}{
		{"text", "", 200, "decision: none\nnote: a\x1b[2J\n", console.ExitDone, "decision: none\nnote: a\ufffd[2J\n", ""},
		{"malformed", "", 400, "malformed message: no To\n", console.ExitFailed, "", "proxy explain: malformed message: no To\n"},
		{"malformed, JSON", "-json", 400, "malformed message: no To\n", console.ExitFailed,
			"{\n  \"error\": \"malformed message: no To\"\n}\n", "proxy explain: malformed message: no To\n"},
		{"another server", "", 404, "404 page not found\n", console.ExitFailed, "", "is no proxy that can explain: 404 404 page not found"},
		{"another program", "-json", 200, "hello", console.ExitFailed, "", "is no proxy that can explain: 200 hello"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := &oracle{status: tt.status, answer: tt.answer}
			code, stdout, stderr := o.explain(t, append(strings.Fields(tt.args), "OPTIONS sip:a.test")...)
			if code != tt.code || tt.stdout != "" && stdout != tt.stdout || !strings.Contains(stderr, tt.says) {
				t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
			}
		})
	}
}

// explain runs the command for a proxy that o plays. There is no database.
func (o *oracle) explain(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv("SIPWARD_DATABASE", "")
	server := httptest.NewServer(o)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "proxy.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "admin: %q\n", server.Listener.Addr()), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	args = append([]string{"explain", "-config", file, "-from", "203.0.113.5:5060"}, args...)
	code = console.Run(t.Context(), console.Commands(), args, &out, &errs)
	return code, out.String(), errs.String()
}
