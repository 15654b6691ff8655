package main

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"sync"

	"github.com/mattermost/mattermost/server/public/model"
	"github.com/mattermost/mattermost/server/public/plugin"
	"github.com/mattermost/mattermost/server/public/plugin/plugintest"
	"github.com/stretchr/testify/mock"
)

// shownArguments is how large the arguments of a call may be to be kept in full.
const shownArguments = 64 << 10

// serverAPI is the server behind the plugin's API client: it keeps every call, fails or holds it as
// a test wants, and answers from the state. The embedded API stands for the calls that the state
// does not have: they are kept too, and answered with an error "not served".
type serverAPI struct {
	*plugintest.API
	state *state

	lock    sync.Mutex
	calls   []*apiCall
	faults  []*apiFault
	held    int
	changed chan struct{} // closed, and made anew, when calls or held change
	release chan struct{} // closed when what is held may go on
}

var _ plugin.API = (*serverAPI)(nil)

// apiCall is one call as it came; Code is empty until it has ended.
type apiCall struct {
	Call      string          `json:"call"`
	Size      int             `json:"size"`
	Arguments json.RawMessage `json:"arguments"` // a list; null over 64 KiB or where JSON has no form for it
	Code      string          `json:"code"`
	Error     string          `json:"error"` // AppError's id, or the error's text
}

func newServerAPI(state *state) *serverAPI {
	a := &serverAPI{API: &plugintest.API{}, state: state, changed: make(chan struct{}), release: make(chan struct{})}
	a.refuseTheRest()
	return a
}

// refuseTheRest gives every method of the interface an answer: it is asked for only where serverAPI
// has no method of its own. A variadic method has no fixed number of arguments; all of those (the
// Log calls) are served.
func (a *serverAPI) refuseTheRest() {
	face := reflect.TypeFor[plugin.API]()
	for at := range face.NumMethod() {
		method := face.Method(at)
		if method.Type.IsVariadic() {
			continue
		}
		whatever := make([]any, method.Type.NumIn())
		for at := range whatever {
			whatever[at] = mock.Anything
		}
		call := a.API.On(method.Name, whatever...)
		if method.Type.NumOut() == 0 {
			call.Run(func(arguments mock.Arguments) { a.refuse(method, arguments) })
			continue
		}
		answer := reflect.MakeFunc(method.Type, func(values []reflect.Value) []reflect.Value {
			var arguments []any
			for _, value := range values {
				arguments = append(arguments, value.Interface())
			}
			return a.refuse(method, arguments)
		})
		call.Return(answer.Interface())
	}
}

// refuse answers with zero values, and with an error where the method has one.
func (a *serverAPI) refuse(method reflect.Method, arguments []any) []reflect.Value {
	failed := model.NewAppError(method.Name, "nethost.not_served", nil, "", 501)
	err := a.around(method.Name, arguments, func() error { return failed })
	results := make([]reflect.Value, method.Type.NumOut())
	for at := range results {
		of := method.Type.Out(at)
		results[at] = reflect.Zero(of)
		if value := reflect.ValueOf(err); err != nil && value.Type().AssignableTo(of) {
			results[at] = value
		} else if err != nil && of == reflect.TypeFor[*model.AppError]() {
			results[at] = reflect.ValueOf(asAppError(method.Name, err))
		}
	}
	return results
}

// around is what surrounds every call: it is kept, and what a test ordered happens to it.
func (a *serverAPI) around(name string, arguments []any, do func() error) error {
	call := a.arrived(name, arguments)
	err := a.answer(name, do)
	a.ended(call, err)
	return err
}

func (a *serverAPI) answer(name string, do func() error) error {
	fault := a.fault(name)
	if fault == nil {
		return do()
	}
	if fault.After {
		if err := do(); err != nil {
			return err
		}
	}
	if fault.Hold {
		a.hold()
	}
	if failure := fault.failure(name); failure != nil {
		return failure
	}
	if fault.After {
		return nil
	}
	return do()
}

// serve is a call that answers with a value or an AppError.
func serve[T any](a *serverAPI, name string, arguments []any, do func() (T, *model.AppError)) (T, *model.AppError) {
	var value, none T
	err := a.around(name, arguments, func() error {
		var failed *model.AppError
		if value, failed = do(); failed != nil {
			return failed
		}
		return nil
	})
	if err != nil {
		return none, asAppError(name, err)
	}
	return value, nil
}

// act is a call that answers with nothing but an AppError.
func act(a *serverAPI, name string, arguments []any, do func() *model.AppError) *model.AppError {
	_, failed := serve(a, name, arguments, func() (struct{}, *model.AppError) { return struct{}{}, do() })
	return failed
}

// tell is a call that cannot fail: a fault may hold it and no more.
func tell[T any](a *serverAPI, name string, arguments []any, do func() T) T {
	var value T
	_ = a.around(name, arguments, func() error { value = do(); return nil })
	return value
}

func asAppError(name string, err error) *model.AppError {
	var failed *model.AppError
	if errors.As(err, &failed) {
		return failed
	}
	return model.NewAppError(name, "nethost.fault", nil, err.Error(), 500)
}

// hold waits until a test lets go. Net/rpc has no way for the plugin to give a call up.
func (a *serverAPI) hold() {
	a.lock.Lock()
	a.held++
	release := a.release
	a.wake()
	a.lock.Unlock()
	<-release
	a.lock.Lock()
	defer a.lock.Unlock()
	a.held--
	a.wake()
}

// letGo lets everything that is held go on.
func (a *serverAPI) letGo() {
	a.lock.Lock()
	defer a.lock.Unlock()
	close(a.release)
	a.release = make(chan struct{})
}

// wake tells who waits for a change; the lock is held.
func (a *serverAPI) wake() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// await waits until `enough`, which is asked under the lock.
func (a *serverAPI) await(ctx context.Context, enough func() bool) error {
	for {
		a.lock.Lock()
		done, changed := enough(), a.changed
		a.lock.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.New("it did not come in time")
		}
	}
}

func (a *serverAPI) arrived(name string, arguments []any) *apiCall {
	call := &apiCall{Call: name}
	if text, err := json.Marshal(arguments); err == nil {
		if call.Size = len(text); call.Size <= shownArguments {
			call.Arguments = text
		}
	}
	a.lock.Lock()
	defer a.lock.Unlock()
	a.calls = append(a.calls, call)
	a.wake()
	return call
}

func (a *serverAPI) ended(call *apiCall, err error) {
	a.lock.Lock()
	defer a.lock.Unlock()
	call.Code, call.Error = "OK", ""
	var failed *model.AppError
	if errors.As(err, &failed) {
		call.Code, call.Error = codeOf(failed.StatusCode), failed.Id
	} else if err != nil {
		call.Code, call.Error = "Unknown", err.Error()
	}
	a.wake()
}

// codeOf names a status as the gRPC host does.
func codeOf(status int) string {
	switch status {
	case 400:
		return "InvalidArgument"
	case 401:
		return "Unauthenticated"
	case 403:
		return "PermissionDenied"
	case 404:
		return "NotFound"
	case 409:
		return "AlreadyExists"
	case 413, 429:
		return "ResourceExhausted"
	case 501:
		return "Unimplemented"
	case 503:
		return "Unavailable"
	}
	return "Internal"
}

// apiFault is what a test wants of a call.
type apiFault struct {
	Call     string         `json:"call"`
	Times    int            `json:"times"` // 0: always
	AppError *apiFaultError `json:"app_error"`
	Message  string         `json:"message"` // of a plain error
	Hold     bool           `json:"hold"`
	After    bool           `json:"after"` // the call is done first, and only then held or failed
}

type apiFaultError struct {
	Where    string `json:"where"`
	ID       string `json:"id"`
	Message  string `json:"message"`
	Detailed string `json:"detailed_error"`
	Status   int    `json:"status_code"`
}

func (f *apiFault) failure(name string) error {
	switch {
	case f.AppError != nil:
		e := f.AppError
		where := e.Where
		if where == "" {
			where = name
		}
		failed := model.NewAppError(where, e.ID, nil, e.Detailed, e.Status)
		if e.Message != "" {
			failed.Message = e.Message
		}
		return failed
	case f.Message != "":
		return &plugin.ErrorString{Err: f.Message}
	}
	return nil
}

// fault gives the first fault for this call that is not used up.
func (a *serverAPI) fault(name string) *apiFault {
	a.lock.Lock()
	defer a.lock.Unlock()
	for i, fault := range a.faults {
		if fault.Call != name {
			continue
		}
		if fault.Times == 1 {
			a.faults = append(a.faults[:i:i], a.faults[i+1:]...)
		} else if fault.Times > 1 {
			fault.Times--
		}
		return fault
	}
	return nil
}
