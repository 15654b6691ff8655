package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/mattermost/mattermost/server/public/model"
	"github.com/mattermost/mattermost/server/public/plugin"

	front "mm_asgi/gofront"
)

// hookCall is a method of plugin.Hooks with arguments from JSON: a list, in the order of the Go
// signature, each in the JSON that Mattermost has for its type. plugin.Context takes its Go names
// ("UserAgent"). An io.Reader is the base64 of its bytes; an io.Writer is left out, and what was
// written stands in the answer's `written`. No body at all: the zero value of each, pointers to it.
// The answer's `response` is the list of results without the error.
type hookCall struct {
	name      string
	method    reflect.Value
	arguments []reflect.Value
	streams   []*stream
	written   *bytes.Buffer
}

// stream is a reader that starts anew with each call.
type stream struct {
	at   int
	data []byte
}

func (c *control) hookCall(r *http.Request) (*hookCall, error) {
	hooks, err := c.host.hooks()
	if err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	method := reflect.ValueOf(hooks).MethodByName(name)
	if _, known := reflect.TypeFor[plugin.Hooks]().MethodByName(name); !known || name == "ServeHTTP" || name == "ServeMetrics" {
		return nil, fmt.Errorf("%s is no hook that can be called here", name)
	}
	var given []json.RawMessage
	if err := front.Read(r, &given); err != nil {
		return nil, fmt.Errorf("the body has to be the list of arguments: %w", err)
	}
	call := &hookCall{name: name, method: method}
	return call, call.read(given)
}

func (h *hookCall) read(given []json.RawMessage) error {
	of := h.method.Type()
	for at := range of.NumIn() {
		parameter := of.In(at)
		if parameter == reflect.TypeFor[io.Writer]() {
			h.written = &bytes.Buffer{}
			h.arguments = append(h.arguments, reflect.ValueOf(h.written))
			continue
		}
		if given == nil {
			h.arguments = append(h.arguments, zero(parameter))
			continue
		}
		if len(given) == 0 {
			return fmt.Errorf("%s wants more arguments: %s", h.name, of)
		}
		value, err := h.argument(at, parameter, given[0])
		if err != nil {
			return fmt.Errorf("argument %d of %s: %w", at+1, h.name, err)
		}
		h.arguments = append(h.arguments, value)
		given = given[1:]
	}
	if len(given) > 0 {
		return fmt.Errorf("%s wants %d arguments less: %s", h.name, len(given), of)
	}
	return nil
}

func zero(of reflect.Type) reflect.Value {
	switch {
	case of.Kind() == reflect.Pointer:
		return reflect.New(of.Elem())
	case of == reflect.TypeFor[io.Reader]():
		return reflect.ValueOf(http.NoBody)
	}
	return reflect.Zero(of)
}

func (h *hookCall) argument(at int, of reflect.Type, text json.RawMessage) (reflect.Value, error) {
	if of == reflect.TypeFor[io.Reader]() {
		one := &stream{at: at}
		h.streams = append(h.streams, one)
		return reflect.Value{}, json.Unmarshal(text, &one.data)
	}
	value := reflect.New(of)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields() // a name that is none would be lost without a word
	err := decoder.Decode(value.Interface())
	return value.Elem(), err
}

func (h *hookCall) run() []reflect.Value {
	arguments := append([]reflect.Value{}, h.arguments...)
	for _, one := range h.streams {
		arguments[one.at] = reflect.ValueOf(bytes.NewReader(one.data))
	}
	return h.method.Call(arguments)
}

// answer runs the call once and says all that can be known of it.
func (h *hookCall) answer(host *host) (object, error) {
	host.noted.forget()
	began := time.Now()
	results := h.run()
	facts := object{"listed": true, "called": true, "ms": front.MS(began), "error": nil, "message": ""}
	host.flush()
	_, _, failures, text := host.noted.now()
	if failures > 0 {
		facts["message"] = text
	}
	err := errorOf(results)
	if err != nil {
		facts["error"] = err.Error()
	}
	facts["ok"] = failures == 0 && err == nil
	response := []any{}
	for _, one := range results {
		if !one.Type().Implements(reflect.TypeFor[error]()) {
			response = append(response, one.Interface())
		}
	}
	facts["response"] = response
	if h.written != nil {
		facts["written"] = h.written.Bytes()
	}
	return facts, nil
}

// errorOf is a hook's own error. A nil *model.AppError in an interface is none.
func errorOf(results []reflect.Value) error {
	if len(results) == 0 {
		return nil
	}
	switch failed := results[len(results)-1].Interface().(type) {
	case *model.AppError:
		if failed != nil {
			return failed
		}
	case error:
		return failed
	}
	return nil
}
