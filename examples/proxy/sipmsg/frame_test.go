package sipmsg_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

const maxMessage = 100_000

func TestFrame(t *testing.T) {
	sized := func(name, value, body string) string {
		return strings.Replace(with(""), "Content-Length: 0", name+value, 1) + body
	}
	big := with("X: " + strings.Repeat("y", 65535-len(with(""))-len("X: \r\n")) + "\n")
	tests := []struct {
		name    string
		buf     string
		skip, n int
		status  int
	}{
		{"nothing", "", 0, 0, 0},
		{"line ends", "\r\n\r\n", 4, 0, 0},
		{"odd line ends", "\n\r\r", 3, 0, 0},
		{"a message", invite, 0, len(invite), 0},
		{"after line ends", "\r\n\r\n\n" + invite, 5, len(invite), 0},
		{"two messages", register + invite, 0, len(register), 0},
		{"no end of the header", "INVITE sip:a SIP/2.0\r\nX: y\r\n", 0, 0, 0},
		{"almost the end of the header", strings.TrimSuffix(register, "\n"), 0, 0, 0},
		{"part of the body", invite[:len(invite)-1], 0, 0, 0},
		{"compact name", sized("l", ": 5", "hello"), 0, len(sized("l", ": 5", "hello")), 0},
		{"blanks and case", sized("CONTENT-length \t", ":\t 5 ", "hello"), 0, len(sized("CONTENT-length \t", ":\t 5 ", "hello")), 0},
		{"folded", sized("L", ":\r\n 5\r\n \t", "hello"), 0, len(sized("L", ":\r\n 5\r\n \t", "hello")), 0}, // R2
		{"twice the same", sized("l", ": 5\r\nContent-Length: 5", "hello"), 0, len(sized("l", ": 5\r\nContent-Length: 5", "hello")), 0},
		{"the same number", sized("l", ": 5\r\nContent-Length: 05", "hello"), 0, len(sized("l", ": 5\r\nContent-Length: 05", "hello")), 0},
		{"in a folded line", sized("X: y\r\n Content-Length", ": 7\r\nl: 5", "hello"), 0, len(sized("X: y\r\n Content-Length", ": 7\r\nl: 5", "hello")), 0},
		{"largest header", big, 0, 65535, 0},
		{"largest message", sized("l", fmt.Sprint(": ", maxMessage-len(sized("l", ": 00000", ""))), strings.Repeat("x", maxMessage)), 0, maxMessage, 0},

		// R4, R51
		{"none", sized("X", ": 5", "hello"), 0, 0, 400},
		{"two", sized("l", ": 5\r\nContent-Length: 0", "hello"), 0, 0, 400},
		{"two, the first no number", sized("l", ":\r\nContent-Length: 0", "hello"), 0, 0, 400},
		{"two, the second no number", sized("l", ":0\r\nContent-Length:", "hello"), 0, 0, 400},
		{"empty", sized("l", ":", ""), 0, 0, 400},
		{"negative", sized("l", ": -5", "hello"), 0, 0, 400},
		{"plus", sized("l", ": +5", "hello"), 0, 0, 400},
		{"blank within", sized("l", ": 5 0", "hello"), 0, 0, 400},
		{"fold within", sized("l", ": 5\r\n 0", "hello"), 0, 0, 400},
		{"text", sized("l", ": five", "hello"), 0, 0, 400},
		{"no colon", sized("Content-Length", " 5", "hello"), 0, 0, 400},
		{"too large a number", sized("l", ": 4294967301", "hello"), 0, 0, 400},
		{"far too large a number", sized("l", ": 18446744073709551621", "hello"), 0, 0, 400},
		{"body too large", sized("l", ": 2147483647", "hello"), 0, 0, 513},
		{"one byte too large", sized("l", fmt.Sprint(": ", maxMessage+1-len(sized("l", ": 00000", ""))), ""), 0, 0, 513},
		{"header too large", strings.Replace(big, "yyy", "yyyy", 1), 0, 0, 513},
		{"header without an end", strings.Repeat("x", 65535), 0, 0, 513},
		{"after line ends too", "\r\n" + sized("X", ": 5", "hello"), 2, 0, 400},
	}
	for _, tt := range tests {
		skip, n, err := sipmsg.Frame([]byte(tt.buf), maxMessage)
		if skip != tt.skip || n != tt.n || status(t, err) != tt.status {
			t.Errorf("%s: %d, %d, %v, want %d, %d, status %d", tt.name, skip, n, err, tt.skip, tt.n, tt.status)
		}
	}
	if _, n, err := sipmsg.Frame([]byte(register), len(register)); n != len(register) {
		t.Errorf("as large as may be: %d, %v", n, err)
	}
	if _, _, err := sipmsg.Frame([]byte(register), len(register)-1); status(t, err) != 513 {
		t.Errorf("larger than may be: %v", err)
	}
	if _, _, err := sipmsg.Frame([]byte(register[:100]), 100); status(t, err) != 513 {
		t.Errorf("header larger than may be: %v", err)
	}
}

// frames cuts a stream that comes in parts of these sizes, the last one again
// and again. It returns the messages and what ended it, nil if nothing.
func frames(stream []byte, sizes ...int) (messages []string, rest []byte, err error) {
	var buf []byte
	for len(stream) > 0 {
		size := min(max(sizes[0], 1), len(stream))
		if len(sizes) > 1 {
			sizes = sizes[1:]
		}
		buf, stream = append(buf, stream[:size]...), stream[size:]
		for {
			skip, n, err := sipmsg.Frame(buf, maxMessage)
			buf = buf[skip:]
			if err != nil {
				return messages, append(buf, stream...), err
			}
			if n == 0 {
				break
			}
			messages = append(messages, string(buf[:n]))
			buf = buf[n:]
		}
	}
	return messages, buf, nil
}

// R51: a stream is cut the same however it comes: byte by byte, or several
// messages at once. What comes out can be read.
func TestFrame_AnyParts(t *testing.T) {
	all := []string{register, invite, answer, with("l :\n 0\n"), change(t, "Content-Length: 0\n", "l: 9\n") + "\r\n\r\nl: 1\r\n"[:9]}
	stream := []byte("\r\n\r\n" + all[0] + all[1] + "\r\n\r\n" + all[2] + "\n" + all[3] + all[4] + "\r\n\r\n")
	for size := 1; size <= len(stream); size = size*3/2 + 1 {
		got, rest, err := frames(stream, size)
		if err != nil || len(rest) > 0 || !slices.Equal(got, all) {
			t.Errorf("parts of %d: %d messages, %q is left, %v", size, len(got), rest, err)
		}
		for _, raw := range got {
			mustParse(t, raw)
		}
	}
}

// R4: what a stream is cut by is what Parse believes in.
func TestFrame_AgreesWithParse(t *testing.T) {
	for _, length := range []string{"l: 3", "l: 3\r\nl: 3", "Content-Length :3", "L:\r\n 3", "X: y\r\n l: 5\r\nl: 3", "l: 3\r\nl:\r\n\t3 "} {
		raw := strings.Replace(with(""), "Content-Length: 0", length, 1) + "abc"
		got, rest, err := frames([]byte(raw+"def"), 1000)
		if err != nil || len(got) != 1 || string(rest) != "def" {
			t.Errorf("%q: %q, %q is left, %v", length, got, rest, err)
			continue
		}
		if m := mustParse(t, got[0]); m.Body() != "abc" {
			t.Errorf("%q: body %q", length, m.Body())
		}
	}
}
