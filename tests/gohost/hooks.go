package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"mm_asgi/gohost/pb"
)

// hookTimeout is hooks_grpc_client.go's deadline of every unary hook.
const hookTimeout = 30 * time.Second

const hooksService = "mattermost.pluginapi.v1.PluginHooks"

// hooks calls the plugin's hooks over one connection.
type hooks struct {
	conn grpc.ClientConnInterface
	pb   pb.PluginHooksClient
	log  *hostLog
	// Implemented is asked twice: the hook client's own answer opens every single hook, the
	// supervisor's opens those that run over all plugins. A test may answer differently.
	first, second atomic.Pointer[map[string]bool]
	// all: a plain gRPC server under `gohost raw -no-activate` was never asked.
	all bool
	// timeout is every hook's deadline; a test may shorten it.
	timeout time.Duration
}

func newHooks(conn grpc.ClientConnInterface, log *hostLog, timeout time.Duration) *hooks {
	if timeout == 0 {
		timeout = hookTimeout
	}
	return &hooks{conn: conn, pb: pb.NewPluginHooksClient(conn), log: log, timeout: timeout}
}

// learn asks Implemented twice, 30 s each; an error in either fails the start.
func (h *hooks) learn() ([]string, error) {
	names, err := h.implemented()
	if err != nil {
		return nil, fmt.Errorf("failed to create gRPC hooks client: failed to query implemented hooks: %w", err)
	}
	for _, name := range names {
		if !known(name) {
			h.log.Host("warn", "Unknown hook name from Python plugin", "name", name)
		}
	}
	h.first.Store(set(names))
	again, err := h.implemented()
	if err != nil {
		return nil, fmt.Errorf("failed to query implemented hooks: %w", err)
	}
	h.second.Store(set(again))
	return names, nil
}

func (h *hooks) implemented() ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), h.timeout)
	defer cancel()
	response, err := h.pb.Implemented(ctx, &pb.ImplementedRequest{})
	if err != nil {
		return nil, fmt.Errorf("gRPC Implemented call failed: %w", err)
	}
	if response.GetError() != nil {
		return nil, shownError{response.GetError()}
	}
	return response.GetHooks(), nil
}

// lifecycle calls OnActivate, OnDeactivate or OnConfigurationChange if Implemented lists it.
func (h *hooks) lifecycle(name string) error {
	if !h.lists(name) {
		return nil
	}
	answer := h.call(name, nil, h.timeout)
	if answer.err != nil {
		h.log.Host("error", "gRPC "+name+" call failed", "error", answer.err)
		return fmt.Errorf("gRPC %s call failed: %w", name, answer.err)
	}
	if answer.appError != nil {
		h.log.Host("error", name+" returned error", "error", answer.appError.GetMessage())
		return shownError{answer.appError}
	}
	return nil
}

func (h *hooks) lists(name string) bool {
	if h.all {
		return true
	}
	names := h.first.Load()
	return names != nil && (*names)[name]
}

// callable says whether the host would call this hook: lifecycle hooks and ServeHTTP look at the
// first answer, all others go through both.
func (h *hooks) callable(name string) bool {
	switch name {
	case "Implemented":
		return true
	case "OnActivate", "OnDeactivate", "OnConfigurationChange", "ServeHTTP":
		return h.lists(name)
	}
	names := h.second.Load()
	return h.all || h.lists(name) && names != nil && (*names)[name]
}

// hookAnswer is a unary hook's outcome: a gRPC error, or a response that may carry an AppError.
type hookAnswer struct {
	err      error
	response proto.Message
	appError *pb.AppError
	took     time.Duration
}

// call invokes any unary hook with a protojson request.
func (h *hooks) call(name string, body []byte, timeout time.Duration) hookAnswer {
	started := time.Now()
	request, response, err := hookMessages(name)
	if err == nil && len(body) > 0 {
		err = protojson.Unmarshal(body, request)
	}
	if err != nil {
		return hookAnswer{err: err}
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	err = h.conn.Invoke(ctx, "/"+hooksService+"/"+name, request, response)
	answer := hookAnswer{err: err, took: time.Since(started)}
	if err == nil {
		answer.response, answer.appError = response, errorField(response)
	}
	return answer
}

func (a hookAnswer) object() object {
	code := status.Code(a.err)
	facts := object{
		"ok": a.err == nil && a.appError == nil, "code": code.String(), "number": int(code),
		"message": status.Convert(a.err).Message(), "ms": float64(a.took.Microseconds()) / 1000,
		"response": nil, "error": nil,
	}
	if a.response != nil {
		facts["response"] = protoJSON(a.response)
	}
	if a.appError != nil {
		facts["error"] = shownError{a.appError}.Error()
	}
	return facts
}

// errorField gives the response's `error`. A present but EMPTY AppError counts as an error.
func errorField(response proto.Message) *pb.AppError {
	message := response.ProtoReflect()
	field := message.Descriptor().Fields().ByName("error")
	if field == nil || !message.Has(field) {
		return nil
	}
	appError, _ := message.Get(field).Message().Interface().(*pb.AppError)
	return appError
}

// shownError renders an AppError as the host shows it: it keeps where, id, params and
// detailed_error and drops `message`; without a translation the id is the text.
type shownError struct{ *pb.AppError }

func (e shownError) Error() string {
	var text strings.Builder
	if e.GetWhere() != "" {
		text.WriteString(e.GetWhere() + ": ")
	}
	text.WriteString(e.GetId())
	if e.GetDetailedError() != "" {
		text.WriteString(", " + e.GetDetailedError())
	}
	return text.String()
}

func hookMessages(name string) (request, response proto.Message, err error) {
	method := hookMethods().ByName(protoreflect.Name(name))
	if method == nil || method.IsStreamingClient() {
		return nil, nil, fmt.Errorf("%s is no unary hook", name)
	}
	if request, err = newMessage(method.Input()); err != nil {
		return nil, nil, err
	}
	response, err = newMessage(method.Output())
	return request, response, err
}

func newMessage(descriptor protoreflect.MessageDescriptor) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(descriptor.FullName())
	if err != nil {
		return nil, err
	}
	return kind.New().Interface(), nil
}

func hookMethods() protoreflect.MethodDescriptors {
	return pb.File_mm_asgi_protocol_hooks_proto.Services().ByName("PluginHooks").Methods()
}

// known: the host knows ServeMetrics by name although it has no RPC.
func known(name string) bool {
	return name == "ServeMetrics" || hookMethods().ByName(protoreflect.Name(name)) != nil
}

func set(names []string) *map[string]bool {
	members := make(map[string]bool, len(names))
	for _, name := range names {
		members[name] = true
	}
	return &members
}
