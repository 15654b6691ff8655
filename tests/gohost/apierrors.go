package main

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mm_asgi/gohost/pb"
)

// appError is model.AppError. Its message is what a person reads: here the id itself, as with an id
// that no language translates.
type appError struct {
	where, id, message, detail string
	status                     int
}

func fail(where, id string, status int) *appError {
	return &appError{where: where, id: id, message: id, status: status}
}

func (e *appError) Error() string { return e.where + ": " + e.id }

// code is grpc/server/errors.go's table.
func (e *appError) code() codes.Code {
	switch e.status {
	case 400:
		return codes.InvalidArgument
	case 401:
		return codes.Unauthenticated
	case 403:
		return codes.PermissionDenied
	case 404:
		return codes.NotFound
	case 409:
		return codes.AlreadyExists
	case 413, 429:
		return codes.ResourceExhausted
	case 501:
		return codes.Unimplemented
	case 503:
		return codes.Unavailable
	}
	return codes.Internal
}

func (e *appError) wire() *pb.AppError {
	return &pb.AppError{Id: e.id, Message: e.message, DetailedError: e.detail, StatusCode: int32(e.status), Where: e.where}
}

// apiFault is what a test wants of a call. An app_error goes the way that the call's own errors go.
type apiFault struct {
	Call     string         `json:"call"`
	Times    int            `json:"times"` // 0: always
	AppError *apiFaultError `json:"app_error"`
	Code     *codes.Code    `json:"code"`
	Message  string         `json:"message"`
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

func (f *apiFault) failure() error {
	switch {
	case f.AppError != nil:
		e := f.AppError
		return &appError{where: e.Where, id: e.ID, message: e.Message, detail: e.Detailed, status: e.Status}
	case f.Code != nil:
		return status.Error(*f.Code, f.Message)
	}
	return nil
}

// fault gives the first fault for this call that is not used up.
func (a *apiServer) fault(name string) *apiFault {
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
