package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"mm_asgi/gohost/pb"
)

// chunkSize is serveHTTPChunkSize of hooks_grpc_client.go.
const chunkSize = 64 * 1024

// bridgeCounts is what GET /stats shows of ServeHTTP.
type bridgeCounts struct {
	open, opened, complete, ended  atomic.Int64
	badGateway, cut, unavailable   atomic.Int64
	badStatus, writeFailed         atomic.Int64
	messagesSent, messagesReceived atomic.Int64
}

// serveHTTP carries one HTTP request over one ServeHTTP stream.
func (h *hooks) serveHTTP(c *pluginContext, w http.ResponseWriter, r *http.Request, counts *bridgeCounts) {
	if !h.lists("ServeHTTP") {
		http.NotFound(w, r)
		return
	}
	// The stream lives as long as the HTTP request: a client that leaves cancels the RPC, and so
	// does net/http after this function has returned, which is the normal end.
	stream, err := h.pb.ServeHTTP(r.Context())
	if err != nil {
		counts.unavailable.Add(1)
		h.log.Host("error", "gRPC ServeHTTP stream failed to open", "error", err)
		http.Error(w, "Service Unavailable", http.StatusServiceUnavailable)
		return
	}
	counts.opened.Add(1)
	counts.open.Add(1)
	defer counts.open.Add(-1)

	sendContext, stopSending := context.WithCancel(r.Context())
	defer stopSending()
	var sendErr error
	var sender sync.WaitGroup
	sender.Go(func() { sendErr = sendRequest(sendContext, stream, c, r, counts) })

	if err := h.receiveResponse(stream, w, counts); err != nil {
		// stopSending does not wake a sender that waits in Body.Read: it is asked between reads.
		stopSending()
		sender.Wait()
		return
	}
	// body_complete was read, the sender may still be blocked on flow control: only the end of
	// the RPC releases it.
	sender.Wait()
	if sendErr != nil && !errors.Is(sendErr, context.Canceled) {
		h.log.Host("error", "gRPC ServeHTTP send error", "error", sendErr)
	}
}

var buffers = sync.Pool{New: func() any {
	buffer := make([]byte, chunkSize)
	return &buffer
}}

// sendRequest sends `init` only once the first read of the body has returned, so with
// `Expect: 100-continue` or a slow client the plugin sees nothing until body bytes come.
func sendRequest(ctx context.Context, stream pb.PluginHooks_ServeHTTPClient, c *pluginContext, r *http.Request, counts *bridgeCounts) error {
	defer func() { _ = stream.CloseSend() }()
	init := requestInit(c, r)
	if r.Body == nil {
		counts.messagesSent.Add(1)
		return stream.Send(&pb.ServeHTTPRequest{Init: init, BodyComplete: true})
	}
	defer func() { _ = r.Body.Close() }()
	kept := buffers.Get().(*[]byte) // Send has copied a chunk when it returns
	defer buffers.Put(kept)
	buffer := *kept
	for {
		if err := firstError(stream.Context(), ctx); err != nil {
			return err
		}
		n, readErr := r.Body.Read(buffer)
		complete := readErr == io.EOF
		// A read that fails on the first turn still sends `init`; on a later turn nothing.
		if init != nil || n > 0 || complete {
			message := &pb.ServeHTTPRequest{Init: init, BodyComplete: complete}
			if n > 0 {
				message.BodyChunk = buffer[:n]
			}
			init = nil
			counts.messagesSent.Add(1)
			if err := stream.Send(message); err != nil {
				return err
			}
		}
		if complete {
			return nil
		}
		if readErr != nil {
			return readErr // ends without body_complete: the body is truncated
		}
	}
}

func firstError(contexts ...context.Context) error {
	for _, ctx := range contexts {
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func requestInit(c *pluginContext, r *http.Request) *pb.ServeHTTPRequestInit {
	init := &pb.ServeHTTPRequestInit{
		Method:        r.Method,
		Url:           r.URL.String(),
		Proto:         r.Proto,
		ProtoMajor:    int32(r.ProtoMajor),
		ProtoMinor:    int32(r.ProtoMinor),
		Host:          r.Host,
		RemoteAddr:    r.RemoteAddr,
		RequestUri:    r.RequestURI,
		ContentLength: r.ContentLength,
	}
	for key, values := range r.Header {
		init.Headers = append(init.Headers, &pb.HTTPHeader{Key: key, Values: values})
	}
	if c != nil {
		init.PluginContext = &pb.PluginContext{
			SessionId:      c.SessionID,
			RequestId:      c.RequestID,
			IpAddress:      c.IPAddress,
			AcceptLanguage: c.AcceptLanguage,
			UserAgent:      c.UserAgent,
		}
	}
	return init
}

// receiveResponse writes what the plugin answers until body_complete or the end of the stream.
// After the head is out an error is only logged: a chunked answer then still ends cleanly.
func (h *hooks) receiveResponse(stream pb.PluginHooks_ServeHTTPClient, w http.ResponseWriter, counts *bridgeCounts) error {
	for first := true; ; first = false {
		response, err := stream.Recv()
		switch {
		case err != nil && first:
			counts.badGateway.Add(1)
			h.log.Host("error", "gRPC ServeHTTP failed to receive response", "error", err)
			http.Error(w, "Bad Gateway", http.StatusBadGateway)
			return err
		case err == io.EOF:
			counts.ended.Add(1)
			return nil
		case err != nil:
			counts.cut.Add(1)
			h.log.Host("error", "gRPC ServeHTTP failed to receive response chunk", "error", err)
			return err
		}
		counts.messagesReceived.Add(1)
		if first {
			if err := h.writeHead(w, response.GetInit()); err != nil {
				counts.badStatus.Add(1)
				return err
			}
		}
		if chunk := response.GetBodyChunk(); len(chunk) > 0 {
			// net/http refuses here: a body of a 204 or 304, or more than Content-Length.
			if _, err := w.Write(chunk); err != nil {
				counts.writeFailed.Add(1)
				return err
			}
		}
		if response.GetFlush() {
			if flusher, ok := w.(http.Flusher); ok {
				flusher.Flush()
			}
		}
		if response.GetBodyComplete() {
			counts.complete.Add(1)
			return nil
		}
	}
}

func (h *hooks) writeHead(w http.ResponseWriter, init *pb.ServeHTTPResponseInit) error {
	code := int(init.GetStatusCode())
	if code == 0 {
		code = http.StatusOK
	}
	if code < 100 || code > 999 {
		h.log.Host("error", fmt.Sprintf("Plugin tried to write invalid HTTP status code: %d", code))
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return fmt.Errorf("invalid status code: %d", code)
	}
	for _, header := range init.GetHeaders() {
		for _, value := range header.GetValues() {
			w.Header().Add(header.GetKey(), value)
		}
	}
	w.WriteHeader(code)
	return nil
}
