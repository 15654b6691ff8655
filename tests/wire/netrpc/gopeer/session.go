package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"strings"
	"sync"

	plugin "github.com/hashicorp/go-plugin"
)

// hooksPlugin is what Mattermost's own plugin package gives go-plugin: a net/rpc client and the broker.
type hooksPlugin struct{}

func (hooksPlugin) Server(*plugin.MuxBroker) (interface{}, error) {
	return nil, errors.New("a host serves no plugin")
}

func (hooksPlugin) Client(broker *plugin.MuxBroker, client *rpc.Client) (interface{}, error) {
	return &hooks{broker, client}, nil
}

type hooks struct {
	broker *plugin.MuxBroker
	client *rpc.Client
}

// Body tells the plugin which stream to read a body from and which one takes the answer.
type Body struct {
	Request, Response uint32
	Words             int
}

// Writer takes what the plugin writes, in the order of its calls.
type Writer struct {
	lock    sync.Mutex
	written []string
}

func (w *Writer) Write(data []byte, _ *struct{}) error {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.written = append(w.written, string(data))
	return nil
}

// runSession begins a plugin as go-plugin's client does, sends it 200 bodies at a time through the
// broker, and prints what came back.
func runSession(arguments []string) error {
	conn, err := net.Dial("unix", arguments[0])
	if err != nil {
		return err
	}
	client, err := plugin.NewRPCClient(conn, map[string]plugin.Plugin{"hooks": hooksPlugin{}})
	if err != nil {
		return err
	}
	found := map[string]string{}
	if err := client.Ping(); err != nil {
		found["ping"] = err.Error()
	}
	raw, err := client.Dispense("hooks")
	if err != nil {
		return err
	}
	dispensed := raw.(*hooks)
	var all sync.WaitGroup
	var lock sync.Mutex
	good := 0
	for i := 0; i < 200; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			err := dispensed.exchange(i)
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				found["exchange"] = err.Error()
			} else {
				good++
			}
		}()
	}
	all.Wait()
	found["good"] = fmt.Sprint(good)
	var nothing struct{}
	if err := dispensed.client.Call("Plugin.Missing", "x", &nothing); err != nil {
		found["missing"] = err.Error()
	}
	if err := client.Ping(); err != nil {
		found["ping"] = err.Error()
	}
	if err := client.Close(); err != nil {
		found["close"] = err.Error()
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

// exchange has a body read and answered through streams of the broker, as ServeHTTP does.
func (h *hooks) exchange(words int) error {
	body := Body{h.broker.NextId(), h.broker.NextId(), words}
	writer := &Writer{}
	var served sync.WaitGroup
	served.Add(2)
	go func() {
		defer served.Done()
		conn, err := h.broker.Accept(body.Request)
		if err != nil {
			return
		}
		io.WriteString(conn, strings.Repeat("word ", words))
		conn.Close()
	}()
	go func() {
		defer served.Done()
		conn, err := h.broker.Accept(body.Response)
		if err != nil {
			return
		}
		server := rpc.NewServer()
		server.RegisterName("Plugin", writer)
		server.ServeConn(conn)
	}()
	var count int
	if err := h.client.Call("Plugin.Count", &body, &count); err != nil {
		return err
	}
	served.Wait()
	got := strings.Join(writer.written, "|")
	if want := fmt.Sprintf("begin|%d words|end", words); got != want || count != words {
		return fmt.Errorf("%q and %d, not %q", got, count, want)
	}
	return nil
}
