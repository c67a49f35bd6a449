package mysqlloc

import (
	"database/sql"
	"strings"
	"time"

	"github.com/sipward/sipward/location"
)

// For tests of what no caller sees.
var (
	AORHash      = aorHash
	NewContactID = newContactID
)

// Queries are those that must not read the whole table.
func Queries() []string {
	queries := []string{
		lookupQuery, lockQuery, lockAllQuery(1), lockAllQuery(64), byIDQuery, pageQuery, contactsQuery, expiredQuery,
		updateQuery(), refreshQuery(), removeQuery(64), purgeQuery(),
	}
	for i, q := range queries {
		queries[i] = strings.Replace(q, "<table>", "location", 1)
	}
	return queries
}

// RewriteKV reads a kv_store and writes it again.
func RewriteKV(text string) (string, error) {
	values, err := parseKV(sql.NullString{String: text, Valid: true})
	return values.String(), err
}

// UpdateAllQuery is the statement that replaces several rows.
func UpdateAllQuery(rows int) string {
	return strings.Replace(updateAllQuery(rows), "<table>", "location", 1)
}

// RoundTrip encodes a binding, does to the row what the table of [Schema] does
// to it, and decodes that.
func RoundTrip(aor location.AOR, b location.Binding, zone *time.Location) (location.AOR, location.Binding, error) {
	s := &Store{cfg: Config{TimeZone: zone}, columns: map[string]column{}}
	for name := range strings.SplitSeq("username domain received path callid user_agent socket sip_instance", " ") {
		s.columns[name] = column{name: name, limit: 255, pads: true}
	}
	for _, name := range []string{"contact", "kv_store"} {
		s.columns[name] = column{name: name, limit: 65535, long: true}
	}
	values, err := s.encode(nil, aor, &b, nil)
	if err != nil {
		return location.AOR{}, location.Binding{}, err
	}
	char := func(v any) sql.NullString {
		if text, ok := v.(string); ok {
			return sql.NullString{String: strings.TrimRight(text, " "), Valid: true}
		}
		n := v.(sql.NullString)
		n.String = strings.TrimRight(n.String, " ")
		return n
	}
	r, err := s.decode(&row{
		Username:     char(columnUser(aor.User())),
		Domain:       char(columnDomain(aor.Domain())),
		Contact:      sql.NullString{String: values[0].(string), Valid: true},
		Received:     char(values[1]),
		Path:         char(values[2]),
		Expires:      sql.NullInt64{Int64: values[3].(int64), Valid: true},
		Q:            sql.NullFloat64{Float64: values[4].(float64), Valid: true},
		CallID:       char(values[5]),
		CSeq:         sql.NullInt64{Int64: int64(values[6].(uint32)), Valid: true},
		LastModified: char(values[7]),
		UserAgent:    char(values[8]),
		Socket:       char(values[9]),
		Methods:      values[10].(sql.NullInt64),
		Instance:     char(values[11]),
		KV:           values[12].(sql.NullString),
	})
	if err != nil {
		return location.AOR{}, location.Binding{}, err
	}
	return r.aor, r.binding, nil
}

// Decode decodes a row of which no more is given.
func Decode(username, domain, received, socket, kv string) (location.Binding, error) {
	s := &Store{cfg: Config{TimeZone: time.UTC}}
	text := func(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }
	r, err := s.decode(&row{
		Username: text(username), Domain: text(domain), Contact: text("sip:a"),
		Received: text(received), Socket: text(socket), KV: text(kv),
	})
	if err != nil {
		return location.Binding{}, err
	}
	return r.binding, nil
}
