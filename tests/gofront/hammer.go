package front

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Hammer repeats one action from several workers at once and takes the time of each turn.
type Hammer struct {
	Workers int
	Count   int64 // turns in all; 0: as many as fit into For
	For     time.Duration
}

// A worker that fails this often in a row gives up: the other side is gone.
const maxFailures = 10

// Report is what the turns took, in microseconds.
type Report struct {
	Count      int64   `json:"count"` // turns that went well
	Errors     int64   `json:"errors"`
	FirstError string  `json:"first_error,omitempty"`
	Seconds    float64 `json:"seconds"`
	P50        float64 `json:"p50_us"`
	P99        float64 `json:"p99_us"`
	Max        float64 `json:"max_us"`
}

// Run starts the clock and lets each worker repeat its own action until Count or For is reached.
func (h Hammer) Run(action func(worker int) error) Report {
	var left atomic.Int64
	left.Store(h.Count)
	began := time.Now()
	more := func() bool {
		if h.Count > 0 {
			return left.Add(-1) >= 0
		}
		return time.Since(began) < h.For
	}
	results := make([]workerResult, h.Workers)
	var group sync.WaitGroup
	for worker := range h.Workers {
		group.Go(func() { results[worker] = work(more, func() error { return action(worker) }) })
	}
	group.Wait()
	return summary(results, time.Since(began))
}

type workerResult struct {
	took       []time.Duration
	errors     int64
	firstError error
}

func work(more func() bool, action func() error) (result workerResult) {
	for inRow := 0; inRow < maxFailures && more(); {
		began := time.Now()
		err := action()
		if err == nil {
			result.took = append(result.took, time.Since(began))
			inRow = 0
			continue
		}
		inRow++
		result.errors++
		if result.firstError == nil {
			result.firstError = err
		}
	}
	return result
}

func summary(results []workerResult, elapsed time.Duration) Report {
	all := Report{Seconds: elapsed.Seconds()}
	var took []time.Duration
	for _, one := range results {
		took = append(took, one.took...)
		all.Errors += one.errors
		if all.FirstError == "" && one.firstError != nil {
			all.FirstError = one.firstError.Error()
		}
	}
	all.Count = int64(len(took))
	slices.Sort(took)
	all.P50, all.P99, all.Max = percentile(took, 50), percentile(took, 99), percentile(took, 100)
	return all
}

// percentile is the nearest rank's value in microseconds; 0 of nothing.
func percentile(sorted []time.Duration, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*percent + 99) / 100
	return float64(sorted[max(rank, 1)-1].Nanoseconds()) / 1000
}
