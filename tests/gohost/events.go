package main

import (
	"encoding/json"
	"io"
	"sync"
)

// object is a JSON object on its way out: an event line, a control answer.
type object map[string]any

// events writes one JSON object a line; on stdout that is how a test learns what happened.
type events struct {
	lock sync.Mutex
	out  io.Writer
}

func (e *events) emit(event string, facts object) {
	line := object{"event": event}
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
