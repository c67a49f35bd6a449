// Package database opens the database that the configuration names, with the
// settings that the stores and loaders of this module rely on.
package database

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// ErrDSN reports a data source name that is none, or that asks for what the
// proxy cannot use. Its text has no part of the name.
var ErrDSN = errors.New("database: unusable DSN")

const (
	// What a DSN does not say itself. A server that hangs must not hang us for
	// longer than a phone waits for its answer, but a batch may take its time.
	dialTimeout = 5 * time.Second
	ioTimeout   = 20 * time.Second

	maxConns     = 16
	maxIdleConns = 8
	connLifetime = 5 * time.Minute // so that a server behind a name can move

	// strictMode makes the server refuse what it cannot hold, in place of
	// altering it.
	strictMode = "'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'"
)

// Open returns a pool for dsn, in the syntax of github.com/go-sql-driver/mysql.
// It connects to nothing yet. The error wraps [ErrDSN]. The caller closes the
// pool.
func Open(dsn string) (*sql.DB, error) {
	cfg, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, refusal(unreadable)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxIdleConns)
	db.SetConnMaxLifetime(connLifetime)
	return db, nil
}

// networks are those of package net on which a server may listen.
var networks = []string{"tcp", "tcp4", "tcp6", "unix"}

const unreadable = "it or a parameter of it cannot be read"

// refusal returns an error that wraps ErrDSN. What the driver says is no part of
// it: in a DSN that is cut at the wrong place the password may stand anywhere.
func refusal(reason string) error {
	return fmt.Errorf("%w: %s; want user:password@tcp(host:3306)/database", ErrDSN, reason)
}

// parse reads a DSN. It refuses what would have a piece of the password for a
// network or a database, which the driver tells everybody.
func parse(dsn string) (*mysql.Config, error) {
	cfg, err := mysql.ParseDSN(dsn)
	switch {
	case err != nil:
		return nil, refusal(unreadable)
	case !slices.Contains(networks, cfg.Net):
		return nil, refusal("its network is none of " + strings.Join(networks, ", "))
	case cfg.DBName == "" || strings.Contains(cfg.DBName, "@"):
		return nil, refusal("it names no database")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = dialTimeout
	}
	if cfg.ReadTimeout == 0 {
		cfg.ReadTimeout = ioTimeout
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = ioTimeout
	}
	if cfg.Params == nil {
		cfg.Params = map[string]string{}
	}
	if _, ok := cfg.Params["sql_mode"]; !ok {
		cfg.Params["sql_mode"] = strictMode
	}
	cfg.ParseTime = false         // mysqlloc reads times as text, in a zone of its own
	cfg.MultiStatements = false   // one statement stays one, whatever is in it
	cfg.InterpolateParams = false // values never become part of a statement's text
	cfg.Logger = log.New(io.Discard, "", 0)
	return cfg, nil
}

// Name returns what the database of dsn may be called in logs and file names:
// its address and name, without user and password. It is empty if [Open]
// refuses dsn.
func Name(dsn string) string {
	cfg, err := parse(dsn)
	if err != nil {
		return ""
	}
	return cfg.Addr + "/" + cfg.DBName
}
