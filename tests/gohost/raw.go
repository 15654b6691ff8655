package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	front "mm_asgi/gofront"
	"mm_asgi/gohost/pb"
)

// Road "w": a ServeHTTP stream driven step by step, without net/http between test and plugin. A
// stream receives only when a step asks for it, so that flow control can be tested.

const stepTimeout = 10 * time.Second

// step is one JSON object of the list that a test sends; exactly one of the verbs is set.
type step struct {
	Send      json.RawMessage `json:"send"`       // protojson ServeHTTPRequest
	SendHex   *string         `json:"send_hex"`   // raw bytes as the gRPC message
	Repeat    int             `json:"repeat"`     // with send and send_hex
	CloseSend bool            `json:"close_send"` //
	Cancel    bool            `json:"cancel"`     //
	Recv      json.RawMessage `json:"recv"`       // how many messages, or "all"
	WaitMS    *int64          `json:"wait_ms"`    //
	TimeoutMS int64           `json:"timeout_ms"` // of send and recv, 10 s by default
}

func (s step) timeout() time.Duration {
	if s.TimeoutMS > 0 {
		return time.Duration(s.TimeoutMS) * time.Millisecond
	}
	return stepTimeout
}

// rawOrder opens a stream. A test may also send the bare list of steps.
type rawOrder struct {
	Steps      []step            `json:"steps"`
	Method     string            `json:"method"` // /package.Service/Method, ServeHTTP by default
	Metadata   map[string]string `json:"metadata"`
	DeadlineMS int64             `json:"deadline_ms"`
}

func (o *rawOrder) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &o.Steps) == nil {
		return nil
	}
	type plain rawOrder
	return json.Unmarshal(data, (*plain)(o))
}

// rawStream is one open stream. Steps of one stream never run at the same time.
type rawStream struct {
	lock     sync.Mutex
	stream   grpc.ClientStream
	cancel   context.CancelFunc
	opened   time.Time
	want     chan struct{} // one token, one Recv
	received chan received
	sending  chan error // a send that its step did not wait for to the end
	waiting  bool       // a Recv is under way whose step timed out
	status   *status.Status
	foreign  bool // not ServeHTTP: answers stay bytes
}

type received struct {
	data []byte
	at   float64
	err  error
}

func openRaw(conn *grpc.ClientConn, order rawOrder) (*rawStream, error) {
	ctx, cancel := context.WithCancel(context.Background())
	if order.DeadlineMS > 0 {
		ctx, cancel = context.WithTimeout(context.Background(), time.Duration(order.DeadlineMS)*time.Millisecond)
	}
	for key, value := range order.Metadata {
		ctx = metadata.AppendToOutgoingContext(ctx, key, value)
	}
	const serveHTTP = "/" + hooksService + "/ServeHTTP"
	method := order.Method
	if method == "" {
		method = serveHTTP
	}
	s := &rawStream{
		opened: time.Now(), cancel: cancel, foreign: method != serveHTTP,
		want: make(chan struct{}), received: make(chan received),
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method,
		grpc.ForceCodecV2(bytesCodec{}))
	if err != nil {
		cancel()
		return nil, err
	}
	s.stream = stream
	go s.receive()
	return s, nil
}

func (s *rawStream) receive() {
	for range s.want {
		var data []byte
		err := s.stream.RecvMsg(&data)
		s.received <- received{data, front.MS(s.opened), err}
		if err != nil {
			return
		}
	}
}

// badStep is a test's own mistake; what the plugin does is never one.
type badStep struct{ err error }

func (e badStep) Error() string { return "bad step: " + e.err.Error() }

// run does the steps in order and tells what came. A send into an ended stream gives "EOF" and a
// recv may time out; the steps after it are done all the same.
func (s *rawStream) run(steps []step) (object, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	messages := []object{}
	outcomes := []object{}
	for _, one := range steps {
		began := time.Now()
		verb, err := s.do(one, &messages)
		if errors.As(err, &badStep{}) {
			return nil, err
		}
		outcomes = append(outcomes, object{"step": verb, "error": text(err), "ms": front.MS(began)})
	}
	answer := object{
		"messages": messages, "steps": outcomes, "ended": s.status != nil, "status": nil,
		"headers": nil, "trailers": nil,
	}
	if s.status != nil {
		answer["status"] = object{
			"code": s.status.Code().String(), "number": int(s.status.Code()), "message": s.status.Message(),
		}
		answer["trailers"] = s.stream.Trailer()
		if headers, err := s.stream.Header(); err == nil {
			answer["headers"] = headers
		}
	}
	return answer, nil
}

func (s *rawStream) do(one step, messages *[]object) (verb string, err error) {
	switch {
	case one.Send != nil:
		var request pb.ServeHTTPRequest
		if err := protojson.Unmarshal(one.Send, &request); err != nil {
			return "send", badStep{err}
		}
		data, err := proto.Marshal(&request)
		if err != nil {
			return "send", badStep{err}
		}
		return "send", s.send(data, one)
	case one.SendHex != nil:
		data, err := hex.DecodeString(*one.SendHex)
		if err != nil {
			return "send_hex", badStep{err}
		}
		return "send_hex", s.send(data, one)
	case one.CloseSend:
		return "close_send", s.stream.CloseSend()
	case one.Cancel:
		s.cancel()
		return "cancel", nil
	case one.Recv != nil:
		return "recv", s.recv(one, messages)
	case one.WaitMS != nil:
		time.Sleep(time.Duration(*one.WaitMS) * time.Millisecond)
		return "wait_ms", nil
	}
	return "", badStep{errors.New("send, send_hex, close_send, cancel, recv or wait_ms is missing")}
}

// send gives up after the step's time-out, which is how a test sees flow control hold it back. The
// blocked message stays on its way; the next send waits for it first.
func (s *rawStream) send(data []byte, one step) error {
	deadline := time.After(one.timeout())
	for range max(one.Repeat, 1) {
		if s.sending == nil {
			s.sending = make(chan error, 1)
		} else if err := s.sent(deadline); err != nil {
			return err
		}
		go func() { s.sending <- s.stream.SendMsg(data) }()
		if err := s.sent(deadline); err != nil {
			return err
		}
		s.sending = nil
	}
	return nil
}

func (s *rawStream) sent(deadline <-chan time.Time) error {
	select {
	case err := <-s.sending:
		if err != nil {
			s.sending = nil
		}
		return err
	case <-deadline:
		return errors.New("timed out: the message is held back")
	}
}

// recv takes N messages or all until the end; a time-out is no error of the stream.
func (s *rawStream) recv(one step, messages *[]object) error {
	count := -1
	if string(one.Recv) != `"all"` {
		if err := json.Unmarshal(one.Recv, &count); err != nil {
			return badStep{fmt.Errorf("recv: a number or \"all\": %w", err)}
		}
	}
	deadline := time.After(one.timeout())
	for n := 0; n != count && s.status == nil; n++ {
		if !s.waiting {
			s.want <- struct{}{}
			s.waiting = true
		}
		select {
		case got := <-s.received:
			s.waiting = false
			s.keep(got, messages)
		case <-deadline:
			return fmt.Errorf("timed out: %d messages came", n)
		}
	}
	return nil
}

func (s *rawStream) keep(got received, messages *[]object) {
	if got.err == io.EOF {
		s.status = status.New(0, "")
		return
	}
	if got.err != nil {
		s.status = status.Convert(got.err)
		return
	}
	facts := object{"ms": got.at, "size": len(got.data)}
	var response pb.ServeHTTPResponse
	if s.foreign || proto.Unmarshal(got.data, &response) != nil {
		facts["hex"] = hex.EncodeToString(got.data)
	} else {
		facts["message"] = protoJSON(&response)
	}
	*messages = append(*messages, facts)
}

// close cancels what is still open and lets the receiver go.
func (s *rawStream) close() {
	s.cancel()
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.waiting {
		<-s.received
		s.waiting = false
	}
	close(s.want)
}
