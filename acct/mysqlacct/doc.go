// Package mysqlacct is an [acct.Sink] for the tables acc (version 7) and
// missed_calls (version 5) of OpenSIPS 3.6, in MariaDB or MySQL.
//
// # Rows
//
// A call that was answered has one row in acc, written when it is over. Method
// is INVITE; created is when its INVITE came, time when it was answered, and
// setuptime the seconds between those two as they are in the row. Ms_duration is
// how long it was up, and duration that in seconds, rounded up. Times are in the
// time zone of [Config].
//
// A call to a phone that was not answered has a row in missed_calls. With
// [Config].Failed each call that was not answered has one in acc too: its time
// is when it was over, and its durations are 0.
//
// # Columns
//
// The columns of OpenSIPS are needed; others are filled if they are there:
// from_uri, to_uri, domain, setid, src_ip, dst_ip, backend (the PBX, with port),
// direction, user_agent, callee_agent, cause ([acct.Cause]), end_reason
// ([acct.End]: here an operator sees whose BYE was lost), no_ack and record_id.
// [Create] adds them all. Further columns must have a default.
//
// A text that is too long for its column is cut, and a character that the
// column cannot express becomes a question mark: no text fails an insert.
//
// # Each record once
//
// The column record_id with a unique key, as Create makes it, makes sure that a
// record is written once, whatever was interrupted. Without it, a [Sink] looks
// for rows that are the same as those it is about to write whenever it cannot
// know: with its first records, and after a failure, when it waits for a commit
// whose connection is gone. That takes two calls that were not answered for one if
// they have the same Call-ID, tags, status and second.
package mysqlacct
