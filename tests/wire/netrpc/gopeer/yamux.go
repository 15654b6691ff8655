package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/yamux"
)

type report struct {
	Echoed  int64  `json:"echoed"`  // streams of the other side that were echoed to their end
	Broken  int64  `json:"broken"`  // streams of the other side that were reset
	Same    int64  `json:"same"`    // own streams whose echo was what was sent
	Wrong   int64  `json:"wrong"`   // own streams whose echo was not
	Open    int    `json:"open"`    // streams that are left
	Session string `json:"session"` // why the session ended
}

// runYamux connects to a socket, speaks yamux as "client" or "server", echoes every stream that the
// other side opens, and opens streams of its own, whose echo it compares. The first stream of the
// other side that carries "end\n" ends it: the report is printed.
func runYamux(arguments []string) error {
	side, path := arguments[0], arguments[1]
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	config := yamux.DefaultConfig()
	log := new(bytes.Buffer)
	config.LogOutput = log
	begin := yamux.Client
	if side == "server" {
		begin = yamux.Server
	}
	session, err := begin(conn, config)
	if err != nil {
		return err
	}
	var found report
	end := make(chan struct{})
	go serveEchoes(session, &found, end)
	var own sync.WaitGroup
	for i := 0; i < 40; i++ {
		own.Add(1)
		go func(seed int64) {
			defer own.Done()
			if askForEcho(session, seed) {
				atomic.AddInt64(&found.Same, 1)
			} else {
				atomic.AddInt64(&found.Wrong, 1)
			}
		}(int64(i))
	}
	own.Wait()
	select {
	case <-end:
		found.Session = "alive"
		if _, err := session.Ping(); err != nil {
			found.Session = err.Error()
		}
	case <-session.CloseChan():
		found.Session = "ended: " + log.String()
	}
	found.Open = session.NumStreams()
	return json.NewEncoder(os.Stdout).Encode(found)
}

func serveEchoes(session *yamux.Session, found *report, end chan struct{}) {
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return
		}
		go func() {
			var first [4]byte
			n, _ := io.ReadFull(stream, first[:])
			if string(first[:n]) == "end\n" {
				stream.Close()
				io.Copy(io.Discard, stream)
				close(end)
				return
			}
			_, err := stream.Write(first[:n])
			if err == nil {
				_, err = io.Copy(stream, stream)
			}
			if err != nil {
				atomic.AddInt64(&found.Broken, 1)
			} else {
				atomic.AddInt64(&found.Echoed, 1)
			}
			stream.Close()
		}()
	}
}

func askForEcho(session *yamux.Session, seed int64) bool {
	chooser := rand.New(rand.NewSource(seed))
	payload := make([]byte, chooser.Intn(900_000))
	chooser.Read(payload)
	stream, err := session.OpenStream()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return false
	}
	go func() {
		stream.Write(payload)
		stream.Close()
	}()
	got, err := io.ReadAll(stream)
	return err == nil && bytes.Equal(got, payload)
}
