package mysqlschema_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/go-sql-driver/mysql"

	"github.com/sipward/sipward/internal/mysqlschema"
)

func TestRetry(t *testing.T) {
	deadlock := fmt.Errorf("update: %w", &mysql.MySQLError{Number: 1213})
	lockWait, duplicate := &mysql.MySQLError{Number: 1205}, &mysql.MySQLError{Number: 1062}
	other := errors.New("gone")
	always := make([]error, mysqlschema.MaxAttempts+1)
	for i := range always {
		always[i] = deadlock
	}
	tests := []struct {
		name  string
		errs  []error // of the attempts
		calls int
		want  error
	}{
		{"no error", []error{nil}, 1, nil},
		{"each conflict once", []error{deadlock, lockWait, duplicate, nil}, 4, nil},
		{"an error of its own", []error{deadlock, other, nil}, 2, other},
		{"another error of the server", []error{&mysql.MySQLError{Number: 1406}}, 1, nil},
		{"conflicts without end", always, mysqlschema.MaxAttempts, deadlock},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				err := mysqlschema.Retry(t.Context(), func(attempt int) error {
					if attempt != calls {
						t.Errorf("attempt %d, want %d", attempt, calls)
					}
					calls++
					return tt.errs[attempt]
				})
				if calls != tt.calls {
					t.Errorf("%d calls, want %d", calls, tt.calls)
				}
				if tt.want != nil && !errors.Is(err, tt.want) || tt.want == nil && err != tt.errs[calls-1] {
					t.Errorf("got error %v", err)
				}
			})
		})
	}
}

func TestRetry_EndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		err := mysqlschema.Retry(ctx, func(int) error {
			calls++
			cancel()
			return &mysql.MySQLError{Number: 1213}
		})
		if calls != 1 || err == nil {
			t.Errorf("%d calls, error %v", calls, err)
		}
	})
}
