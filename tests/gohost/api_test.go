package main

import (
	"context"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	front "mm_asgi/gofront"
	"mm_asgi/gohost/pb"
)

func testAPI(t *testing.T) (*apiServer, pb.PluginAPIClient) {
	t.Helper()
	log := front.NewLog(io.Discard)
	api := newAPIServer(newAPIState("demo", log, func() *hooks { return nil }))
	if err := api.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { api.stop(false) })
	conn, err := grpc.NewClient(api.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return api, pb.NewPluginAPIClient(conn)
}

func TestEveryCallOfInResponseIsServedAndHasTheField(t *testing.T) {
	for name := range inResponse {
		if response := responseWithError(name, fail("there", "app.x", 404)); errorField(response).GetStatusCode() != 404 {
			t.Errorf("%s: no error in %v", name, response)
		}
	}
}

func TestBothWaysOfAnError(t *testing.T) {
	_, client := testAPI(t)
	ctx := context.Background()
	if _, err := client.GetUser(ctx, &pb.GetUserRequest{UserId: "nobody"}); status.Code(err) != codes.NotFound ||
		status.Convert(err).Message() != missingAccount+": "+missingAccount {
		t.Errorf("GetUser: %v", err)
	}
	post, err := client.GetPost(ctx, &pb.GetPostRequest{PostId: "none"})
	if err != nil || post.GetError().GetId() != noSuchPost || post.GetError().GetStatusCode() != 404 {
		t.Errorf("GetPost: %v %v", post, err)
	}
}

func TestAnUnknownCallIsUnimplementedAndKept(t *testing.T) {
	api, _ := testAPI(t)
	conn, err := grpc.NewClient(api.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = conn.Invoke(context.Background(), "/mattermost.pluginapi.v1.PluginAPI/GetGroups", &pb.GetConfigRequest{}, &pb.GetConfigResponse{})
	if status.Code(err) != codes.Unimplemented || status.Convert(err).Message() != "method GetGroups not implemented" {
		t.Error(err)
	}
	if len(api.calls) != 1 || api.calls[0].Call != "GetGroups" || api.calls[0].Code != "Unimplemented" {
		t.Error(api.calls)
	}
}

func TestKeys(t *testing.T) {
	_, client := testAPI(t)
	ctx := context.Background()
	set := func(old, value string) bool {
		t.Helper()
		answer, err := client.KVCompareAndSet(ctx, &pb.KVCompareAndSetRequest{Key: "k", OldValue: []byte(old), NewValue: []byte(value)})
		if err != nil || answer.GetError() != nil {
			t.Fatal(answer, err)
		}
		return answer.GetSuccess()
	}
	for _, step := range []struct {
		old, value string
		want       bool
	}{{"x", "1", false}, {"", "1", true}, {"", "2", false}, {"1", "2", true}, {"1", "", false}, {"2", "", true}, {"", "", false}} {
		if got := set(step.old, step.value); got != step.want {
			t.Errorf("%q to %q: %v", step.old, step.value, got)
		}
	}
	answer, err := client.KVSet(ctx, &pb.KVSetRequest{Value: []byte("v")})
	if err != nil || answer.GetError().GetStatusCode() != 400 {
		t.Errorf("a key of no length: %v %v", answer, err)
	}
	options := &pb.PluginKVSetOptions{OldValue: []byte("1")}
	with, err := client.KVSetWithOptions(ctx, &pb.KVSetWithOptionsRequest{Key: "k", Value: []byte("v"), Options: options})
	if err != nil || with.GetError().GetStatusCode() != 400 {
		t.Errorf("old_value without atomic: %v %v", with, err)
	}
}

func TestAStoppedServerComesBackWithItsState(t *testing.T) {
	api, client := testAPI(t)
	ctx := context.Background()
	if _, err := client.KVSet(ctx, &pb.KVSetRequest{Key: "k", Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	api.stop(false)
	if _, err := client.KVGet(ctx, &pb.KVGetRequest{Key: "k"}); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	if err := api.start(); err != nil {
		t.Fatal(err)
	}
	answer, err := client.KVGet(ctx, &pb.KVGetRequest{Key: "k"}, grpc.WaitForReady(true))
	if err != nil || string(answer.GetValue()) != "v" {
		t.Error(answer, err)
	}
}

func TestAHeldCallGoesOnWhenItIsLetGo(t *testing.T) {
	api, client := testAPI(t)
	api.faults = []*apiFault{{Call: "KVSet", Times: 1, Hold: true, After: true}}
	done := make(chan error, 1)
	go func() {
		_, err := client.KVSet(context.Background(), &pb.KVSetRequest{Key: "k", Value: []byte("v")})
		done <- err
	}()
	if err := api.await(t.Context(), func() bool { return api.held == 1 }); err != nil {
		t.Fatal(err)
	}
	if got, err := client.KVGet(t.Context(), &pb.KVGetRequest{Key: "k"}); err != nil || string(got.GetValue()) != "v" {
		t.Error("it was to be done before it was held:", got, err)
	}
	api.letGo()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
