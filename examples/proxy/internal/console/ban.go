package console

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sipward/sipward/examples/proxy/guard"
)

func banOperations() []operation {
	return []operation{
		{
			name: "ban list", noDatabase: true, setup: plain((*session).listBans),
			synopsis: "show which networks the running proxy does not serve",
			details: `
EARNED is how often in a row the network has earned its ban, for a longer time
each time; "-" if it was set by hand. The proxy is the one at the admin address of
the configuration.`,
		},
		{
			name: "ban add", args: "[-for DURATION] [-reason R] PREFIX", least: 1, most: 1, noDatabase: true,
			synopsis: "have the running proxy not serve a network or an address",
			details: `
PREFIX is a network such as 198.51.100.0/24, or an address. Of IPv6 the whole /64
is banned. Phones that are registered from there are not served either. An
address that is trusted, such as that of a PBX, cannot be banned (exit code 3).
The proxy is the one at the admin address of the configuration.`,
			setup: func(flags *flag.FlagSet) func(context.Context, *session) error {
				term := flags.Duration("for", 0, "how long, such as 24h; until it is lifted if 0")
				reason := flags.String("reason", "by hand", "`TEXT` for the list and the log")
				return func(ctx context.Context, s *session) error { return s.ban(ctx, *term, *reason) }
			},
		},
		{
			name: "ban rm", args: "PREFIX", least: 1, most: 1, noDatabase: true, setup: plain((*session).unban),
			synopsis: "have the running proxy serve a network again",
			details: `
PREFIX is that of a ban in force, as ban list shows it. A ban that was earned
begins with its shortest time again. The proxy is the one at the admin address of
the configuration.`,
		},
	}
}

func (s *session) listBans(ctx context.Context) error {
	var bans []guard.Ban
	if err := s.askBans(ctx, http.MethodGet, nil, &bans); err != nil {
		return err
	}
	return s.out.print(bans, func(w io.Writer) {
		fmt.Fprintln(w, "PREFIX\tUNTIL\tEARNED\tREASON")
		for _, b := range bans {
			earned := ""
			if b.Count > 0 {
				earned = fmt.Sprint(b.Count)
			}
			fmt.Fprintf(w, "%v\t%s\t%s\t%s\n", b.Prefix, cell(endOf(b)), cell(earned), cell(b.Reason))
		}
	})
}

func (s *session) ban(ctx context.Context, term time.Duration, reason string) error {
	query := url.Values{"prefix": s.args, "reason": {reason}}
	if term < 0 {
		return usage(errors.New("-for must not be negative"))
	}
	if term > 0 {
		query.Set("for", term.String())
	}
	var b guard.Ban
	if err := s.askBans(ctx, http.MethodPost, query, &b); err != nil {
		return err
	}
	return s.out.print(b, func(w io.Writer) {
		if b.Until.IsZero() {
			fmt.Fprintf(w, "banned %v until it is lifted\n", b.Prefix)
			return
		}
		fmt.Fprintf(w, "banned %v until %s\n", b.Prefix, endOf(b))
	})
}

func (s *session) unban(ctx context.Context) error {
	var b guard.Ban
	if err := s.askBans(ctx, http.MethodDelete, url.Values{"prefix": s.args}, &b); err != nil {
		return err
	}
	return s.out.print(struct {
		Removed string `json:"removed"`
	}{b.Prefix.String()}, func(w io.Writer) { fmt.Fprintf(w, "the ban of %v is lifted\n", b.Prefix) })
}

// endOf returns the time at which a ban ends, "" if it does not.
func endOf(b guard.Ban) string {
	if b.Until.IsZero() {
		return ""
	}
	return b.Until.Format(time.RFC3339)
}

// askBans asks the running proxy for something about its bans, and reads the
// answer.
func (s *session) askBans(ctx context.Context, method string, query url.Values, answer any) error {
	status, body, err := s.askProxy(ctx, method, "/bans", query, "")
	if err != nil {
		return s.unanswered(err)
	}
	text := cell(strings.TrimSpace(string(body)))
	switch status {
	case http.StatusOK:
		if err := json.Unmarshal(body, answer); err == nil {
			return nil
		}
	case http.StatusBadRequest:
		return usage(errors.New(text))
	case http.StatusConflict:
		return fmt.Errorf("%w: %s", ErrRefused, text)
	case http.StatusInsufficientStorage:
		return errors.New(text)
	case http.StatusNotFound:
		if strings.HasPrefix(text, "no ban of ") {
			return errors.New(text)
		}
	}
	return fmt.Errorf("what is at %v is no proxy that knows bans: %s", s.cfg.Admin, answerText(status, body))
}
