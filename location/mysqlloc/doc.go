// Package mysqlloc is a [location.Store] in the location table of OpenSIPS 3.6
// (version 1013), in MariaDB or MySQL.
//
// # Database
//
// [New] takes the program's pool and needs a driver of
// github.com/go-sql-driver/mysql with its character set utf8mb4, which is its
// default. The server is MariaDB from 10.3 or MySQL from 8.0. It must be in a
// strict sql_mode, so that it refuses what it cannot hold; if it has a binary
// log, binlog_format must be MIXED or ROW, as it is by default. [Create] makes
// the tables, or adds to those of OpenSIPS the indexes that they lack. The store
// runs without these indexes, but then each lookup reads the whole table.
//
// A user is what its bytes are. Whatever a collation thinks equal, rows of
// another case or with other blanks at the end are rows of another user.
//
// # What OpenSIPS sees
//
// OpenSIPS reads the rows that this package writes as its own ones: received
// is a SIP URI with transport, socket has transport, address and port, the q
// of a contact without one is -1, and contact_id has the hash of the AOR where
// OpenSIPS looks for it. Texts that no column holds as they are, and the fields
// Token, Registrar and RegID, are in kv_store under names that begin with
// sipward_. A user with blanks at the end has %20 for them in the column
// username. Of a user agent that is too long, the column has the beginning; what
// else is too long for its column is refused, with [ErrValue].
//
// A refresh leaves alone what this package has no value for: the columns
// flags, cflags and attr, columns that are not OpenSIPS's, and what others
// have in kv_store.
//
// A running OpenSIPS that keeps contacts in memory does not see changes made
// here until it starts again, writes its own memory over them when a phone
// registers with it, and removes rows when they expire. In its SQL-only mode
// it sees all at once.
//
// # What the store sees
//
// The store keeps nothing in memory: it sees rows of OpenSIPS and of other
// instances as soon as they are committed. It reads received as a URI and as
// plain address and port, an expires of 0 as the last second that the column
// can count, in the year 2106, and last_modified in the time zone of [Config].
// It does not look at flags and cflags. It looks for domains in lower case, and
// for IPv6 addresses in brackets, as OpenSIPS writes them. A row without domain
// belongs to no tenant and is never found.
//
// Rows that cannot be read are skipped; [Config] has a hook that hears of
// them. They go when they expire or when all bindings of their AOR do.
//
// # Several instances
//
// Each Apply is a transaction that locks the rows of its AOR, or, for a plain
// refresh, an update of a row that is as it was read. ApplyAll locks those of
// many AORs in one transaction. So stores in several processes do not lose each
// other's changes. Two that both add the first binding of an AOR choose the same
// contact_id; the second one then fails on it, and begins again. Such conflicts
// and deadlocks are tried again up to ten times.
package mysqlloc
