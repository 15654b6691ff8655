// The gRPC project's interop service with every message in gzip, both ways: grpc-go's own interop
// programs do not compress.
//
//	compressed -port 0            serve, and print the port
//	compressed -any               the same; all other RPCs get an empty message
//	compressed -call HOST:PORT    make the cases
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

func main() {
	port := flag.Int("port", 0, "to serve on; 0: any")
	target := flag.String("call", "", "the server to call")
	every := flag.Bool("any", false, "answer RPCs of other services with an empty message")
	flag.Parse()
	if *target != "" {
		call(*target)
	} else {
		serve(*port, *every)
	}
}

// serve answers in the encoding of the request, as grpc-go does by itself.
func serve(port int, every bool) {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		log.Fatal(err)
	}
	options := []grpc.ServerOption{}
	if every {
		options = append(options, grpc.UnknownServiceHandler(answerEmpty))
	}
	server := grpc.NewServer(options...)
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(server.Serve(listener))
}

// answerEmpty reads a message of any type, whose fields are all unknown to it.
func answerEmpty(_ any, stream grpc.ServerStream) error {
	var message testgrpc.Empty
	if err := stream.RecvMsg(&message); err != nil {
		return err
	}
	return stream.SendMsg(&testgrpc.Empty{})
}

// call ends the process at the first case that fails, as grpc-go's interop client does.
func call(target string) {
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	ctx, client := context.Background(), testgrpc.NewTestServiceClient(conn)
	interop.DoEmptyUnaryCall(ctx, client)
	interop.DoLargeUnaryCall(ctx, client)
	interop.DoClientStreaming(ctx, client)
	interop.DoServerStreaming(ctx, client)
	interop.DoPingPong(ctx, client)
	interop.DoEmptyStream(ctx, client)
	interop.DoTimeoutOnSleepingServer(ctx, client)
	interop.DoCancelAfterBegin(ctx, client)
	interop.DoCancelAfterFirstResponse(ctx, client)
	interop.DoCustomMetadata(ctx, client)
	interop.DoStatusCodeAndMessage(ctx, client)
	interop.DoSpecialStatusMessage(ctx, client)
	fmt.Println("done")
}
