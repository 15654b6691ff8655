package front

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

func TestPercentileIsTheNearestRank(t *testing.T) {
	var took []time.Duration
	for i := range 200 {
		took = append(took, time.Duration(i+1)*time.Microsecond)
	}
	for percent, want := range map[int]float64{50: 100, 99: 198, 100: 200, 0: 1} {
		if got := percentile(took, percent); got != want {
			t.Errorf("p%d: %v, expected %v", percent, got, want)
		}
	}
	if got := percentile(nil, 50); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestHammerCountsTurnsAndFailures(t *testing.T) {
	var turns atomic.Int64
	result := Hammer{Workers: 4, Count: 100}.Run(func(int) error {
		if turns.Add(1)%10 == 0 {
			return errors.New("each tenth")
		}
		return nil
	})
	if turns.Load() != 100 || result.Count != 90 || result.Errors != 10 || result.FirstError != "each tenth" {
		t.Errorf("%d turns, %+v", turns.Load(), result)
	}
}

func TestHammerGivesUpOnAPeerThatIsGone(t *testing.T) {
	result := Hammer{Workers: 2, For: time.Hour}.Run(func(int) error { return errors.New("gone") })
	if result.Count != 0 || result.Errors != 2*maxFailures {
		t.Errorf("%+v", result)
	}
}
