package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/location"
)

// adminPatience bounds a request to a running proxy, which is on this machine
// as a rule but may have to look up a name.
const adminPatience = 2 * time.Second

// maxAdminAnswer bounds what is read of its answer, which may be all bans.
const maxAdminAnswer = 1 << 23

// errNoAdmin says that the configuration has no address to ask.
var errNoAdmin = errors.New("the configuration has no admin address")

// askProxy sends a request to the admin address of the configuration.
func (s *session) askProxy(ctx context.Context, method, path string, query url.Values, content string) (status int, body []byte, err error) {
	if !s.cfg.Admin.IsValid() {
		return 0, nil, errNoAdmin
	}
	ctx, cancel := context.WithTimeout(ctx, adminPatience)
	defer cancel()
	u := url.URL{Scheme: "http", Host: config.Reachable(s.cfg.Admin).String(), Path: path, RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(content))
	if err != nil {
		return 0, nil, err
	}
	// No proxy of the environment's, and no connection that stays.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(io.LimitReader(answer.Body, maxAdminAnswer))
	return answer.StatusCode, body, err
}

// unanswered returns the error of askProxy for a command that is nothing without
// an answer.
func (s *session) unanswered(err error) error {
	if fault, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("no proxy answers at %v: %w", s.cfg.Admin, fault.Err)
	}
	return err
}

// forget has a running proxy drop what it remembers of an AOR. That there is
// none is no fault.
func (s *session) forget(ctx context.Context, aor location.AOR) {
	status, body, err := s.askProxy(ctx, http.MethodPost, "/location/forget", url.Values{"aor": {aor.String()}}, "")
	switch {
	case errors.Is(err, errNoAdmin):
		s.note("%v: a running proxy may remember %v", err, aor)
	case err != nil:
		s.note("no proxy answers at %v: one that runs elsewhere may remember %v", s.cfg.Admin, aor)
	case status/100 != 2:
		s.note("the proxy at %v did not forget %v: %s", s.cfg.Admin, aor, answerText(status, body))
	}
}

// answerText returns an answer as a line.
func answerText(status int, body []byte) string {
	text := strings.Join(strings.Fields(string(body)), " ")
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, cell(text)))
}
