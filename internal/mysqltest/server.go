package mysqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/sipward/sipward/internal/programtest"
)

// Server is a MariaDB server. Its data survive Stop, Kill and Start. Its
// methods but DB and Config must not be called concurrently.
type Server struct {
	dir       string
	databases atomic.Int32
	process   *process // nil while it does not run
}

// New starts a server that is the test's own and gone when it ends.
func New(t testing.TB) *Server {
	t.Helper()
	need(t)
	s, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.remove)
	return s
}

func newServer() (*Server, error) {
	// The path of a socket has about 100 bytes, so that the long names of
	// t.TempDir are no place for one.
	dir, err := os.MkdirTemp("", "mysqltest")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	if err := s.install(); err != nil {
		s.remove()
		return nil, err
	}
	if err := s.start(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// install makes the system tables.
func (s *Server) install() error {
	program, err := programtest.Find("mariadb-install-db")
	if err != nil {
		return err
	}
	cmd := exec.Command(program, append(s.arguments(), "--auth-root-authentication-method=normal", "--skip-test-db")...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mysqltest: %s: %w\n%s", program, err, out)
	}
	return nil
}

func (s *Server) data() string   { return filepath.Join(s.dir, "data") }
func (s *Server) socket() string { return filepath.Join(s.dir, "socket") }
func (s *Server) log() string    { return filepath.Join(s.dir, "log") }

// arguments returns those that both programs need. Nothing waits for the disk:
// what is committed survives a killed server, if not a power cut.
func (s *Server) arguments() []string {
	args := []string{
		"--no-defaults", "--datadir=" + s.data(), "--tmpdir=" + s.dir, // servers delete each other's files in a shared one
		"--innodb-log-file-size=32M",
		"--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync", "--debug-no-sync",
	}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root") // or they refuse to run
	}
	return args
}

func (s *Server) start() error {
	program, err := programtest.Find("mariadbd")
	if err != nil {
		return err
	}
	args := append(s.arguments(),
		"--socket="+s.socket(), "--log-error="+s.log(), "--pid-file="+filepath.Join(s.dir, "pid"), "--skip-networking",
		"--sql-mode=STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
		"--character-set-server=utf8mb4", "--performance-schema=off", "--max-connections=500",
		"--innodb-buffer-pool-size=64M",
	)
	s.process, err = startProcess(program, args)
	if err != nil {
		return fmt.Errorf("mysqltest: %w", err)
	}
	return s.awaitStart()
}

// awaitStart returns when the server takes connections.
func (s *Server) awaitStart() error {
	db, err := s.open("")
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond): // there is nothing to wait on but the server
		case <-s.process.done:
			return fmt.Errorf("mysqltest: mariadbd has ended:\n%s", s.readLog())
		case <-ctx.Done():
			return fmt.Errorf("mysqltest: mariadbd does not answer: %w\n%s", err, s.readLog())
		}
	}
}

func (s *Server) readLog() string {
	text, err := os.ReadFile(s.log())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Start starts the server after Stop or Kill.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if s.process != nil {
		t.Fatal("mysqltest: the server runs")
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// Stop ends the server as an operator does, with SIGTERM.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.end(t, syscall.SIGTERM)
}

// Kill ends the server as a crash does, with SIGKILL.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.end(t, syscall.SIGKILL)
}

func (s *Server) end(t testing.TB, sig os.Signal) {
	t.Helper()
	if s.process == nil {
		t.Fatal("mysqltest: the server does not run")
	}
	if err := s.process.end(sig); err != nil {
		t.Fatal(err)
	}
	s.process = nil
}

// remove ends the server and removes its data.
func (s *Server) remove() {
	if s.process != nil {
		_ = s.process.end(syscall.SIGKILL) // its data go anyway
		s.process = nil
	}
	_ = os.RemoveAll(s.dir)
}

// DB returns an empty database. Its pool of at most 20 connections is closed
// when the test ends; use [Config] for another one.
func (s *Server) DB(t testing.TB) *sql.DB {
	t.Helper()
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	if err := s.create(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	db, err := s.open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(20)
	return db
}

func (s *Server) create(ctx context.Context, name string) error {
	db, err := s.open("")
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4")
	return err
}

func (s *Server) open(name string) (*sql.DB, error) {
	connector, err := mysql.NewConnector(s.config(name))
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func (s *Server) config(name string) *mysql.Config {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.DBName = "root", "unix", s.socket(), name
	cfg.Logger = &mysql.NopLogger{} // broken connections are what these tests are about
	return cfg
}

// Config returns how to reach the database that db, one of [DB], is of: for
// programs, by FormatDSN, and for pools with other settings.
func (s *Server) Config(t testing.TB, db *sql.DB) *mysql.Config {
	t.Helper()
	var name string
	if err := db.QueryRowContext(t.Context(), "SELECT DATABASE()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	return s.config(name)
}

// process is a running program.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

func startProcess(program string, args []string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.SysProcAttr = dieWithParent()
	started := make(chan error)
	go func() {
		defer close(p.done)
		defer lockThread()()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // the log says how it ended
		}
	}()
	return p, <-started
}

// end sends a signal and waits for the end.
func (p *process) end(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}
