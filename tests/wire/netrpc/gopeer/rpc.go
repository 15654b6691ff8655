package main

import (
	"encoding/json"
	"errors"
	"net"
	"net/rpc"
	"os"
	"sync"
)

// Args and Reply are the arguments and the reply of every call here.
type Args struct {
	Text  string
	Count int
	Note  interface{}
}

type Reply struct {
	Text string
	List []int
	Note interface{}
}

// Served is what the other side may call.
type Served struct{}

// Echo answers with what it was sent.
func (*Served) Echo(args *Args, reply *Reply) error {
	*reply = Reply{Text: args.Text, List: make([]int, args.Count), Note: args.Note}
	return nil
}

// Fail answers with an error.
func (*Served) Fail(args *Args, reply *Reply) error {
	return errors.New("failed: " + args.Text)
}

type called struct {
	Texts  []string `json:"texts"`
	Errors []string `json:"errors"`
}

// runRPC connects to a socket twice: the first connection serves Served, on the second one it calls
// Plugin.Echo and Plugin.Fail of the other side, eight at a time, and prints what it got.
func runRPC(arguments []string) error {
	first, err := net.Dial("unix", arguments[0])
	if err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.RegisterName("Served", &Served{}); err != nil {
		return err
	}
	served := make(chan struct{})
	go func() {
		server.ServeConn(first)
		close(served)
	}()
	second, err := net.Dial("unix", arguments[0])
	if err != nil {
		return err
	}
	client := rpc.NewClient(second)
	var found called
	var lock sync.Mutex
	var calls sync.WaitGroup
	for i := 0; i < 8; i++ {
		calls.Add(1)
		go func() {
			defer calls.Done()
			note := &Note{Id: "n", Status: i, Props: map[string]interface{}{"list": []interface{}{i, "x"}}}
			var reply Reply
			err := client.Call("Plugin.Echo", &Args{Text: "hello", Count: i, Note: note}, &reply)
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				found.Errors = append(found.Errors, err.Error())
			} else if len(reply.List) == i {
				found.Texts = append(found.Texts, reply.Text)
			}
		}()
	}
	calls.Wait()
	for _, method := range []string{"Plugin.Fail", "Plugin.Missing"} {
		if err := client.Call(method, &Args{Text: "why"}, &Reply{}); err != nil {
			found.Errors = append(found.Errors, err.Error())
		}
	}
	client.Close()
	<-served
	return json.NewEncoder(os.Stdout).Encode(found)
}
