package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	front "mm_asgi/gofront"
)

func runLoad(t *testing.T, arguments ...string) (loadReport, int) {
	t.Helper()
	var out, said bytes.Buffer
	code := loadMain(arguments, &out, &said)
	var result loadReport
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		t.Fatalf("%q, %q: %v", out.String(), said.String(), err)
	}
	return result, code
}

func TestLoadKeepsItsConnectionsAndCountsBytes(t *testing.T) {
	var dialled, received atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		received.Add(n)
		fmt.Fprint(w, strings.Repeat("x", chunkSize+1))
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dialled.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	result, code := runLoad(t, "-url", server.URL, "-connections", "3", "-count", "30", "-method", "POST",
		"-body", "100000", "-expect-bytes", fmt.Sprint(chunkSize+1))
	if code != 0 || result.Count != 30 || result.Errors != 0 || dialled.Load() != 3 {
		t.Errorf("exit %d, %d dialled, %+v", code, dialled.Load(), result)
	}
	if result.BytesOut != 3_000_000 || received.Load() != 3_000_000 || result.BytesIn != 30*(chunkSize+1) {
		t.Errorf("%d received, %+v", received.Load(), result)
	}
	if !(result.P50 > 0 && result.P50 <= result.P99 && result.P99 <= result.Max && result.Seconds > 0) {
		t.Errorf("%+v", result)
	}
}

func TestLoadTakesAWrongAnswerForAnError(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/500" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		fmt.Fprint(w, "short")
	}))
	defer server.Close()
	for url, want := range map[string]string{
		server.URL + "/500": "status 500",
		server.URL + "/":    "a body of 5 bytes, expected 6",
	} {
		result, code := runLoad(t, "-url", url, "-count", "1", "-expect-bytes", "6")
		if code != 1 || result.Errors != 1 || result.FirstError != want {
			t.Errorf("%s: exit %d, %+v", url, code, result)
		}
	}
}

func TestProxyPutsTheGatewayBeforeAnHTTPServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var lock sync.Mutex
	var seen []string
	release := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lock.Lock()
		seen = append(seen, r.Host+" "+r.URL.RequestURI()+" "+r.Header.Get(front.UserIDHeader))
		lock.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		<-release
	})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	defer close(release)

	rules := rewriteRules{PluginID: "com.example.demo", Subpath: "/"}
	back := newProxy("unix:"+path, front.NewLog(io.Discard))
	before := httptest.NewServer(front.Gateway{
		Rules: rules, Active: func() bool { return true },
		Serve: func(_ *pluginContext, w http.ResponseWriter, r *http.Request) { back.ServeHTTP(w, r) },
	}.Router())
	defer before.Close()
	for _, below := range []string{"", "/a/b?x=1"} {
		request, _ := http.NewRequest(http.MethodGet, before.URL+"/plugins/com.example.demo"+below, nil)
		request.Host = "chat.example.com"
		request.Header.Set("Authorization", "Bearer token-alice")
		request.Header.Set(front.UserIDHeader, "mallory")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		// The handler has not returned: the event came through at once.
		event := make([]byte, len("data: 1\n\n"))
		if _, err := io.ReadFull(response.Body, event); err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%d, %q: %v", response.StatusCode, event, err)
		}
	}
	lock.Lock()
	defer lock.Unlock()
	if want := []string{"chat.example.com / alice", "chat.example.com /a/b?x=1 alice"}; !slices.Equal(seen, want) {
		t.Errorf("%q, expected %q", seen, want)
	}
}
