package relay

import (
	"fmt"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// RFC 3261 section 16.7 step 6: the order of final responses. Statuses of our
// own are negative.
func TestRank(t *testing.T) {
	order := []int{603, 302, 401, 404, 500, 503, -408, -503, -selfStatus}
	equal := [][]int{{603, 600, 699}, {401, 407, 415, 420, 484}, {404, 400, 403, 408, 480, 486, 487, 488}, {500, 501, 502, 504, 513}}
	c := new(Context)
	rankOf := func(status int) int {
		if status < 0 {
			return c.rank(&branch{status: -status})
		}
		return c.rank(&branch{status: status, msg: new(sipmsg.Message)})
	}
	for i, status := range order {
		for _, worse := range order[i+1:] {
			if rankOf(status) >= rankOf(worse) {
				t.Errorf("%d is not better than %d", status, worse)
			}
		}
	}
	for _, class := range equal {
		for _, status := range class {
			if rankOf(status) != rankOf(class[0]) {
				t.Errorf("%d and %d differ", status, class[0])
			}
		}
	}
}

// Of equal ones the first counts; of a canceled request a 487 before all but a
// 6xx.
func TestConsider(t *testing.T) {
	tests := []struct {
		canceled bool
		statuses []int
		want     int
	}{
		{false, []int{486, 487, 404}, 486},
		{false, []int{486, 404, 401}, 401},
		{false, []int{503, 500}, 500},
		{true, []int{486, 487, 404}, 487},
		{true, []int{401, 487}, 487},
		{true, []int{487, 401}, 487},
		{true, []int{487, 302}, 487},
		{true, []int{487, 503}, 487},
		{true, []int{603, 487}, 603},
		{true, []int{487, 603}, 603},
		{true, []int{-408, 487}, 487},
		{true, []int{487, -408}, 487},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.canceled, tt.statuses), func(t *testing.T) {
			c := new(Context)
			if tt.canceled {
				c.canceled = []string{}
			}
			for _, s := range tt.statuses {
				b := &branch{status: s, msg: new(sipmsg.Message)}
				if s < 0 {
					b.status, b.msg = -s, nil
				}
				c.consider(b)
			}
			if c.best.status != tt.want {
				t.Errorf("the best of %v is %d, want %d", tt.statuses, c.best.status, tt.want)
			}
		})
	}
}

// P-27: what shows that a target is dead.
func TestDead(t *testing.T) {
	for status := 300; status < 700; status++ {
		if got := (&branch{status: status, msg: new(sipmsg.Message)}).dead(); got != (status == 503) {
			t.Errorf("a target that answers %d is dead: %v", status, got)
		}
	}
	for _, status := range []int{408, 503, selfStatus} {
		if !(&branch{status: status}).dead() {
			t.Errorf("a target without an answer, %d, is alive", status)
		}
	}
}

// A timer that was set again while it fired is not the end of anything.
func TestTimer_SetAgain(t *testing.T) {
	for _, b := range []*branch{{answered: true}, {accepted: true}, {}} {
		b.due = time.Now().Add(time.Hour)
		new(Context).timer(b) // it has nothing that it could end
		if b.gaveUp || b.ended {
			t.Error("given up")
		}
	}
}
