package main

import (
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"google.golang.org/grpc"

	"mm_asgi/gohost/pb"
)

// bareChunk is what Mattermost's own side puts into one message.
const bareChunk = 64 << 10

// barePlugin answers ServeHTTP in Go with nothing around it: what is left for a plugin to cost when
// the plugin costs nothing. Its answers are those of tests/benchmarks/apps/raw.py.
type barePlugin struct {
	pb.UnimplementedPluginHooksServer
}

// bareMain serves it on a unix socket, for `gohost raw`.
func bareMain(socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(math.MaxInt32))
	pb.RegisterPluginHooksServer(server, barePlugin{})
	return server.Serve(listener)
}

func (barePlugin) ServeHTTP(stream grpc.BidiStreamingServer[pb.ServeHTTPRequest, pb.ServeHTTPResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	target, err := url.Parse(first.GetInit().GetUrl())
	if err != nil {
		return err
	}
	switch target.Path[strings.LastIndexByte(target.Path, '/')+1:] {
	case "up":
		return bareUp(stream, first)
	case "down":
		return bareDown(stream, target.Query().Get("bytes"))
	}
	return stream.Send(bareAnswer("text/plain", []byte("Hello, world!"), 13, true))
}

func bareUp(stream grpc.BidiStreamingServer[pb.ServeHTTPRequest, pb.ServeHTTPResponse], message *pb.ServeHTTPRequest) error {
	size := len(message.GetBodyChunk())
	for !message.GetBodyComplete() {
		var err error
		if message, err = stream.Recv(); err == io.EOF {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
		size += len(message.GetBodyChunk())
	}
	text := []byte(strconv.Itoa(size))
	return stream.Send(bareAnswer("text/plain", text, len(text), true))
}

func bareDown(stream grpc.BidiStreamingServer[pb.ServeHTTPRequest, pb.ServeHTTPResponse], number string) error {
	left, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("bytes=%q: %w", number, err)
	}
	chunk := make([]byte, bareChunk)
	answer := bareAnswer("application/octet-stream", nil, left, left == 0)
	for {
		size := min(left, bareChunk)
		left -= size
		answer.BodyChunk, answer.BodyComplete, answer.Flush = chunk[:size], left == 0, left > 0
		if err := stream.Send(answer); err != nil || left == 0 {
			return err
		}
		answer = &pb.ServeHTTPResponse{}
	}
}

func bareAnswer(kind string, body []byte, length int, complete bool) *pb.ServeHTTPResponse {
	return &pb.ServeHTTPResponse{
		Init: &pb.ServeHTTPResponseInit{
			StatusCode: 200,
			Headers: []*pb.HTTPHeader{
				{Key: "Content-Type", Values: []string{kind}},
				{Key: "Content-Length", Values: []string{strconv.Itoa(length)}},
			},
		},
		BodyChunk:    body,
		BodyComplete: complete,
	}
}

func exitBare(arguments []string) int {
	if len(arguments) != 1 {
		fmt.Fprintln(os.Stderr, "gohost bare: expected the path of a socket")
		return 2
	}
	if err := bareMain(arguments[0]); err != nil {
		fmt.Fprintln(os.Stderr, "gohost bare:", err)
		return 1
	}
	return 0
}
