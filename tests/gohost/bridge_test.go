package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	front "mm_asgi/gofront"
	"mm_asgi/gohost/pb"
)

type pluginStream = grpc.BidiStreamingServer[pb.ServeHTTPRequest, pb.ServeHTTPResponse]

// scripted is a plugin in Go: each test says what its ServeHTTP does.
type scripted struct {
	pb.UnimplementedPluginHooksServer
	serve func(pluginStream) error
}

func (scripted) Implemented(context.Context, *pb.ImplementedRequest) (*pb.ImplementedResponse, error) {
	return &pb.ImplementedResponse{Hooks: []string{"ServeHTTP", "MessageWillBePosted"}}, nil
}

func (s scripted) ServeHTTP(stream pluginStream) error { return s.serve(stream) }

func (scripted) MessageWillBePosted(_ context.Context, r *pb.MessageWillBePostedRequest) (*pb.MessageWillBePostedResponse, error) {
	return &pb.MessageWillBePostedResponse{RejectionReason: r.GetPost().GetMessage()}, nil
}

// running gives a host before the scripted plugin, with its HTTP side and its control side.
func running(t *testing.T, serve func(pluginStream) error) (public, private *httptest.Server, h *host) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterPluginHooksServer(server, scripted{serve: serve})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	h = &host{
		settings: settings{target: listener.Addr().String(), rules: demo},
		log:      front.NewLog(t.Output()), events: front.NewEvents(io.Discard),
	}
	if _, err := h.start(); err != nil {
		t.Fatal(err)
	}
	router := front.Gateway{
		Rules: demo, PublicDir: t.TempDir(), Active: func() bool { return true }, Serve: h.serveHTTP,
	}.Router()
	h.server = front.NewServer(router, time.Minute, time.Minute, h.log)
	public = httptest.NewUnstartedServer(nil)
	public.Config = h.server
	public.Start()
	side := &control{host: h, raws: map[string]*rawStream{}}
	private = httptest.NewServer(side.router())
	t.Cleanup(public.Close)
	t.Cleanup(private.Close)
	return public, private, h
}

var demo = rewriteRules{PluginID: "com.example.demo", Subpath: "/mm"}

const demoPath = "/mm/plugins/com.example.demo/x"

func body(t *testing.T, response *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Sprintf("%d %s|%v", response.StatusCode, data, err)
	}
	return fmt.Sprintf("%d %s", response.StatusCode, data)
}

func TestUploadComesInChunksAndEndsComplete(t *testing.T) {
	public, _, _ := running(t, func(stream pluginStream) error {
		total, largest := 0, 0
		for {
			message, err := stream.Recv()
			if err != nil {
				return err
			}
			total += len(message.GetBodyChunk())
			largest = max(largest, len(message.GetBodyChunk()))
			if message.GetBodyComplete() {
				break
			}
		}
		if _, err := stream.Recv(); err != io.EOF {
			return fmt.Errorf("no half-close: %v", err)
		}
		return stream.Send(&pb.ServeHTTPResponse{BodyChunk: fmt.Appendf(nil, "%d %t", total, largest <= chunkSize), BodyComplete: true})
	})
	response, err := http.Post(public.URL+demoPath, "", bytes.NewReader(make([]byte, 1<<20)))
	if got := body(t, response, err); got != "200 1048576 true" {
		t.Error(got)
	}
}

func TestAnswersAtTheEdges(t *testing.T) {
	head := func(code int32, headers ...*pb.HTTPHeader) *pb.ServeHTTPResponseInit {
		return &pb.ServeHTTPResponseInit{StatusCode: code, Headers: headers}
	}
	length := &pb.HTTPHeader{Key: "Content-Length", Values: []string{"10"}}
	boom := status.Error(codes.Internal, "boom")
	for name, one := range map[string]struct {
		send []*pb.ServeHTTPResponse
		err  error
		want string
	}{
		"nothing":          {nil, nil, "502 Bad Gateway\n"},
		"error first":      {nil, boom, "502 Bad Gateway\n"},
		"error later":      {[]*pb.ServeHTTPResponse{{BodyChunk: []byte("part"), Flush: true}}, boom, "200 part"},
		"error, length":    {[]*pb.ServeHTTPResponse{{Init: head(200, length), BodyChunk: []byte("part")}}, boom, "200 part|unexpected EOF"},
		"no init":          {[]*pb.ServeHTTPResponse{{BodyComplete: true}}, nil, "200 "},
		"status 0":         {[]*pb.ServeHTTPResponse{{Init: head(0), BodyComplete: true}}, nil, "200 "},
		"status 99":        {[]*pb.ServeHTTPResponse{{Init: head(99), BodyComplete: true}}, nil, "500 Internal Server Error\n"},
		"status 1000":      {[]*pb.ServeHTTPResponse{{Init: head(1000), BodyComplete: true}}, nil, "500 Internal Server Error\n"},
		"no body_complete": {[]*pb.ServeHTTPResponse{{BodyChunk: []byte("a")}, {BodyChunk: []byte("b")}}, nil, "200 ab"},
		"204 with a body":  {[]*pb.ServeHTTPResponse{{Init: head(204), BodyChunk: []byte("a"), BodyComplete: true}}, nil, "204 "},
	} {
		t.Run(name, func(t *testing.T) {
			public, _, _ := running(t, func(stream pluginStream) error {
				if _, err := stream.Recv(); err != nil {
					return err
				}
				for _, message := range one.send {
					if err := stream.Send(message); err != nil {
						return err
					}
				}
				return one.err
			})
			response, err := http.Get(public.URL + demoPath)
			if got := body(t, response, err); got != one.want {
				t.Errorf("%q, want %q", got, one.want)
			}
		})
	}
}

func TestFlushLeavesTheHostAndALeavingClientCancels(t *testing.T) {
	for name, protocols := range map[string]func(*http.Protocols){
		"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) },
		"h2c":      func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		t.Run(name, func(t *testing.T) {
			gone := make(chan struct{})
			public, _, _ := running(t, func(stream pluginStream) error {
				if err := stream.Send(&pb.ServeHTTPResponse{BodyChunk: []byte("data: 1\n\n"), Flush: true}); err != nil {
					return err
				}
				<-stream.Context().Done()
				close(gone)
				return nil
			})
			transport := &http.Transport{Protocols: &http.Protocols{}}
			protocols(transport.Protocols)
			response, err := (&http.Client{Transport: transport}).Get(public.URL + demoPath)
			if err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(response.Body).ReadString('\n'); err != nil || line != "data: 1\n" {
				t.Errorf("%q %v", line, err)
			}
			_ = response.Body.Close()
			<-gone
		})
	}
}

func TestBrokenBodyEndsWithoutBodyComplete(t *testing.T) {
	seen := make(chan string, 1)
	public, _, _ := running(t, func(stream pluginStream) error {
		var got strings.Builder
		for {
			message, err := stream.Recv()
			if err != nil {
				seen <- fmt.Sprintf("%s then %v", got.String(), err)
				return stream.Send(&pb.ServeHTTPResponse{BodyComplete: true})
			}
			fmt.Fprintf(&got, "[init=%t %q %t]", message.GetInit() != nil, message.GetBodyChunk(), message.GetBodyComplete())
		}
	})
	for sent, want := range map[string]string{
		"5\r\nhello\r\nZZ\r\n": `[init=true "hello" false] then EOF`,
		// The first read fails: init comes all the same.
		"ZZ\r\n": `[init=true "" false] then EOF`,
	} {
		connection, err := net.Dial("tcp", public.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(connection, "POST "+demoPath+" HTTP/1.1\r\nHost: chat\r\nTransfer-Encoding: chunked\r\n\r\n"+sent)
		if got := <-seen; got != want {
			t.Errorf("%q: %s, want %s", sent, got, want)
		}
		_ = connection.Close()
	}
}

func TestControlCallsHooksAndDrivesRawStreams(t *testing.T) {
	_, private, _ := running(t, func(stream pluginStream) error {
		first, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.ServeHTTPResponse{BodyChunk: []byte(first.GetInit().GetMethod())}); err != nil {
			return err
		}
		<-stream.Context().Done()
		return nil
	})
	ask := func(path, order string) map[string]any {
		t.Helper()
		response, err := http.Post(private.URL+path, "application/json", strings.NewReader(order))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var answer map[string]any
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	hook := ask("/hook/MessageWillBePosted", `{"post": {"message": "no"}}`)
	if got := hook["response"].(map[string]any)["rejection_reason"]; got != "no" || hook["ok"] != true {
		t.Error(hook)
	}
	if unlisted := ask("/hook/OnInstall", ""); unlisted["called"] != false {
		t.Error(unlisted)
	}
	if forced := ask("/hook/OnInstall?force=1", ""); forced["code"] != "Unimplemented" {
		t.Error(forced)
	}
	opened := ask("/raw/open", `[{"send": {"init": {"method": "PUT"}}}, {"recv": 1}]`)
	if messages := opened["messages"].([]any); len(messages) != 1 || opened["ended"] != false {
		t.Error(opened)
	}
	stream := "/raw/" + opened["id"].(string)
	late := ask(stream, `[{"recv": 1, "timeout_ms": 10}]`)
	if outcome := late["steps"].([]any)[0].(map[string]any); outcome["error"] != "timed out: 0 messages came" {
		t.Error(late)
	}
	ended := ask(stream, `[{"cancel": true}, {"recv": "all"}]`)
	if ended["status"].(map[string]any)["code"] != "Canceled" {
		t.Error(ended)
	}
	if closed := ask(stream+"/close", ""); closed["ok"] != true {
		t.Error(closed)
	}
	if wrong := ask("/raw", `[{"nonsense": 1}]`); wrong["error"] == nil {
		t.Error(wrong)
	}
}
