package main

import (
	"testing"
	"time"
)

func TestThreeFailuresInAnHourDeactivate(t *testing.T) {
	now := time.Unix(0, 0)
	check := &healthCheck{now: func() time.Time { return now }}
	for i, step := range []struct {
		after   time.Duration
		restart bool
	}{
		{0, true},
		{time.Minute, true},
		{59 * time.Minute, false}, // exactly the window
		{time.Second, true},       // and all is forgotten
		{time.Minute, true},
		{61 * time.Minute, true}, // the first of them is too old
		{time.Second, true},
		{time.Second, false},
	} {
		now = now.Add(step.after)
		if got := check.fail(); got != step.restart {
			t.Fatalf("failure %d: restart %v", i, got)
		}
	}
}
