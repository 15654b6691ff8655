package front

import (
	"encoding/json"
	"io"
	"sync"
)

// Object is a JSON Object on its way out: an event line, a control answer.
type Object map[string]any

// Events writes one JSON Object a line; on stdout that is how a test learns what happened.
type Events struct {
	lock sync.Mutex
	out  io.Writer
}

// NewEvents writes to out.
func NewEvents(out io.Writer) *Events { return &Events{out: out} }

// Emit writes the line of one event.
func (e *Events) Emit(event string, facts Object) {
	line := Object{"event": event}
	for key, value := range facts {
		line[key] = value
	}
	encoded, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	e.lock.Lock()
	defer e.lock.Unlock()
	// A test that has closed our stdout is gone: nobody to tell.
	_, _ = e.out.Write(append(encoded, '\n'))
}
