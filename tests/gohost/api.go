package main

import (
	"context"
	"errors"
	"math"
	"net"
	"path"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"mm_asgi/gohost/pb"
)

// shownRequest is how large a request may be to be kept in full.
const shownRequest = 64 << 10

// inResponse names the calls whose AppError comes in the answer's field `error` with gRPC OK; those
// of all others become a gRPC status.
var inResponse = *set([]string{
	"CreatePost", "GetPost", "UpdatePost", "DeletePost",
	"KVSet", "KVSetWithOptions", "KVCompareAndSet", "KVCompareAndDelete", "KVGet", "KVDelete", "KVList",
	"GetFile", "GetFileInfo", "UploadFile",
})

// apiServer is the host's PluginAPI server: insecure TCP on loopback, gRPC's own 4 MiB for what
// comes, 2 GiB for what goes, and no recover: a nil that a handler follows ends the host.
type apiServer struct {
	state *apiState

	lock    sync.Mutex
	server  *grpc.Server // nil while stopped
	served  chan struct{}
	address string
	calls   []*apiCall
	faults  []*apiFault
	held    int
	changed chan struct{} // closed, and made anew, when calls or held change
	release chan struct{} // closed when what is held may go on
}

// apiCall is one call as it came; Code is empty until it has ended.
type apiCall struct {
	Call      string          `json:"call"`
	Size      int             `json:"size"`
	Request   protoJSONObject `json:"request"`
	Peer      string          `json:"peer"` // tells one connection from another
	UserAgent string          `json:"user_agent"`
	Seconds   float64         `json:"deadline_s"` // until the deadline; 0: there is none
	Code      string          `json:"code"`
	Error     string          `json:"error"` // AppError's id, or the status' text
}

func newAPIServer(state *apiState) *apiServer {
	return &apiServer{state: state, changed: make(chan struct{}), release: make(chan struct{})}
}

// start listens, after a stop on the address of before.
func (a *apiServer) start() error {
	a.lock.Lock()
	defer a.lock.Unlock()
	if a.server != nil {
		return errors.New("the API server runs")
	}
	if a.address == "" {
		a.address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", a.address)
	if err != nil {
		return err
	}
	a.address = listener.Addr().String()
	server := grpc.NewServer(grpc.MaxSendMsgSize(math.MaxInt32), grpc.UnaryInterceptor(a.serve),
		grpc.UnknownServiceHandler(a.serveUnknown))
	pb.RegisterPluginAPIServer(server, apiHandlers{apiState: a.state})
	served := make(chan struct{})
	a.server, a.served = server, served
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	return nil
}

// stop ends the server, at once or after its open calls; the state stays. It has let go of the
// port when it returns.
func (a *apiServer) stop(gracefully bool) {
	a.lock.Lock()
	server, served := a.server, a.served
	a.server = nil
	a.lock.Unlock()
	if server == nil {
		return
	}
	if gracefully {
		server.GracefulStop()
	} else {
		server.Stop()
	}
	<-served
}

// serve is around every call: it keeps the call, fails it as a test wants, and puts its error where
// the host puts it.
func (a *apiServer) serve(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	name := path.Base(info.FullMethod)
	call := a.arrived(ctx, name, request)
	answer, err := a.answer(ctx, name, func() (any, error) { return handler(ctx, request) })
	answer, err, code, text := onWire(name, answer, err)
	a.ended(call, code, text)
	return answer, err
}

// serveUnknown answers what no handler is there for as the host does, whose generated base says so.
func (a *apiServer) serveUnknown(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	name := path.Base(method)
	call := a.arrived(stream.Context(), name, nil)
	_, err := a.answer(stream.Context(), name, func() (any, error) {
		// Without UnknownServiceHandler grpc-go says this of a service that it does not have.
		if service := strings.Trim(path.Dir(method), "/"); service != pb.PluginAPI_ServiceDesc.ServiceName {
			return nil, status.Errorf(codes.Unimplemented, "unknown service %s", service)
		}
		return nil, status.Errorf(codes.Unimplemented, "method %s not implemented", name)
	})
	_, err, code, text := onWire(name, nil, err)
	a.ended(call, code, text)
	return err
}

func (a *apiServer) answer(ctx context.Context, name string, handle func() (any, error)) (any, error) {
	fault := a.fault(name)
	if fault == nil {
		return handle()
	}
	var answer any
	var err error
	if fault.After {
		if answer, err = handle(); err != nil {
			return answer, err
		}
	}
	if fault.Hold {
		if held := a.hold(ctx); held != nil {
			return nil, held
		}
	}
	if failure := fault.failure(); failure != nil {
		return nil, failure
	}
	if fault.After {
		return answer, nil
	}
	return handle()
}

// hold waits until a test lets go or the call is over.
func (a *apiServer) hold(ctx context.Context) error {
	a.lock.Lock()
	a.held++
	release := a.release
	a.tell()
	a.lock.Unlock()
	defer func() {
		a.lock.Lock()
		defer a.lock.Unlock()
		a.held--
		a.tell()
	}()
	select {
	case <-release:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// letGo lets everything that is held go on.
func (a *apiServer) letGo() {
	a.lock.Lock()
	defer a.lock.Unlock()
	close(a.release)
	a.release = make(chan struct{})
}

// tell wakes who waits for a change; the lock is held.
func (a *apiServer) tell() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// await waits until `enough`, which is asked under the lock.
func (a *apiServer) await(ctx context.Context, enough func() bool) error {
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

func (a *apiServer) arrived(ctx context.Context, name string, request any) *apiCall {
	call := &apiCall{Call: name}
	if message, ok := request.(proto.Message); ok {
		if call.Size = proto.Size(message); call.Size <= shownRequest {
			call.Request = protoJSONObject{message}
		}
	}
	if from, ok := peer.FromContext(ctx); ok {
		call.Peer = from.Addr.String()
	}
	if sent, ok := metadata.FromIncomingContext(ctx); ok && len(sent["user-agent"]) > 0 {
		call.UserAgent = sent["user-agent"][0]
	}
	if deadline, ok := ctx.Deadline(); ok {
		call.Seconds = time.Until(deadline).Seconds()
	}
	a.lock.Lock()
	defer a.lock.Unlock()
	a.calls = append(a.calls, call)
	a.tell()
	return call
}

func (a *apiServer) ended(call *apiCall, code codes.Code, text string) {
	a.lock.Lock()
	defer a.lock.Unlock()
	call.Code, call.Error = code.String(), text
	a.tell()
}

// onWire puts a handler's error into one of the two places that the host has for it.
func onWire(name string, answer any, err error) (any, error, codes.Code, string) {
	var failed *appError
	if !errors.As(err, &failed) {
		return answer, err, status.Code(err), status.Convert(err).Message()
	}
	if inResponse[name] {
		return responseWithError(name, failed), nil, codes.OK, failed.id
	}
	code := failed.code()
	text := failed.id + ": " + failed.message
	return nil, status.Error(code, text), code, text
}

func responseWithError(name string, failed *appError) proto.Message {
	method := pb.File_mm_asgi_protocol_api_proto.Services().ByName("PluginAPI").Methods().ByName(protoreflect.Name(name))
	response, err := newMessage(method.Output())
	if err != nil {
		panic(err) // inResponse names a call that is not served
	}
	message := response.ProtoReflect()
	field := message.Descriptor().Fields().ByName("error")
	message.Set(field, protoreflect.ValueOfMessage(failed.wire().ProtoReflect()))
	return response
}

// protoJSONObject is a message that shows itself as protojson in a test's answer.
type protoJSONObject struct{ proto.Message }

func (p protoJSONObject) MarshalJSON() ([]byte, error) {
	if p.Message == nil {
		return []byte("null"), nil
	}
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(p.Message)
}
