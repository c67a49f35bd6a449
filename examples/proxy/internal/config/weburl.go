package config

import (
	"fmt"
	"net/url"
)

// WebURL is the URL of a web service. The zero WebURL is none.
type WebURL string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (w *WebURL) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*w = ""
		return nil
	}
	u, err := url.Parse(string(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is not a URL that begins with http:// or https://", text)
	}
	*w = WebURL(text)
	return nil
}
