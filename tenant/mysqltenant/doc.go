// Package mysqltenant is a [tenant.Loader] for the tables domain (version 4)
// and dispatcher (version 9) of OpenSIPS 3.6, in MariaDB or MySQL.
//
// # Database
//
// [New] takes the program's pool, with the driver of
// github.com/go-sql-driver/mysql. [Create] makes the table domain, or adds to
// that of OpenSIPS the column setid. The table dispatcher is made by the
// package mysqldisp. With tables of InnoDB each load sees both tables at the
// same moment. The loader writes nothing. [Loader.ReadTx] is for programs that
// read more than tenants at that moment, or resolve more than their names.
//
// # Domains
//
// The set of a domain is in the column setid. If that is 0, or there is no such
// column, it is what attrs says in setid=N, where only attrs can say that it is
// set 0. If both say different things the column wins and the difference is
// reported. A domain without any set is left out; one whose set has no
// destinations is a tenant without sources.
//
// # Sources
//
// The PBXes of a set send from the addresses and ports of its destinations,
// whatever their state. A destination without port has 5060, or 5061 with TLS; if
// it has a name too, it is where the SRV records of that name for its transport
// lead, with their ports, unless there are none (RFC 3263, without NAPTR).
// Names are resolved with each load, all their addresses count, and if that
// fails the last answer stays. Names that failed come last the next time, so
// that they do not take the time of others. Whoever answers for a name can make
// any address a source of its set, also that of another set's PBX: a program that
// does not trust him reads [Rows] and leaves out of the answers what it likes.
//
// The attrs of a destination may name further addresses and networks, from any
// port, in source_ip: "source_ip=192.0.2.7", "source_ip=192.0.2.7,10.1.0.0/24"
// or several times. Attributes are separated by semicolons, commas or blanks.
//
// # Faults
//
// A row or a part of it that makes no sense is left out and reported as a
// [Problem], so that it affects nobody but its tenant. What Load returns is
// always good for [tenant.NewTable].
package mysqltenant
