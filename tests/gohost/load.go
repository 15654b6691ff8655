package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	front "mm_asgi/gofront"
)

// load is a load generator over HTTP/1.1 keep-alive connections. It writes the same prepared
// bytes for each request: on a small machine the client's own work is taken from who it measures.
type load struct {
	front.Hammer
	address, head string
	request       *http.Request // only tells http.ReadResponse the method
	body          int64
	expect        int64
	timeout       time.Duration
}

type loadReport struct {
	front.Report
	BytesIn  int64 `json:"bytes_in"`
	BytesOut int64 `json:"bytes_out"`
}

// loadMain is `gohost load`: it prints one JSON object; the exit code is 1 if nothing went well.
func loadMain(arguments []string, out, errOut io.Writer) int {
	l, err := parseLoad(arguments, errOut)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(errOut, "gohost load:", err)
		}
		return 2
	}
	result, err := l.measure()
	if err != nil {
		fmt.Fprintln(errOut, "gohost load:", err)
		return 1
	}
	if err := json.NewEncoder(out).Encode(result); err != nil || result.Count == 0 {
		return 1
	}
	return 0
}

func parseLoad(arguments []string, errOut io.Writer) (*load, error) {
	l := &load{}
	flags := flag.NewFlagSet("gohost load", flag.ContinueOnError)
	flags.SetOutput(errOut)
	target := flags.String("url", "", "http:// URL")
	method := flags.String("method", http.MethodGet, "request method")
	flags.IntVar(&l.Workers, "connections", 1, "keep-alive connections, one request at a time on each")
	flags.DurationVar(&l.For, "duration", time.Second, "for how long")
	flags.Int64Var(&l.Count, "count", 0, "requests in all, instead of -duration")
	flags.Int64Var(&l.body, "body", 0, "bytes of each request's body")
	flags.Int64Var(&l.expect, "expect-bytes", -1, "an answer's body of another length is an error")
	flags.DurationVar(&l.timeout, "timeout", 120*time.Second, "of one request")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	parsed, err := url.Parse(*target)
	if err != nil {
		return nil, err
	}
	if parsed.Scheme != "http" || parsed.Host == "" {
		return nil, fmt.Errorf("-url is %q, expected http://HOST:PORT/PATH", *target)
	}
	if l.Workers < 1 {
		return nil, fmt.Errorf("-connections is %d, expected 1 or more", l.Workers)
	}
	l.address = parsed.Host
	l.request = &http.Request{Method: *method}
	l.head = fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: gohost\r\nAccept: */*\r\n", *method, parsed.RequestURI(), parsed.Host)
	if l.body > 0 || *method == http.MethodPost {
		l.head += fmt.Sprintf("Content-Type: application/octet-stream\r\nContent-Length: %d\r\n", l.body)
	}
	l.head += "\r\n"
	return l, nil
}

// measure dials first and starts the clock when every connection is there.
func (l *load) measure() (loadReport, error) {
	clients := make([]*loadClient, l.Workers)
	failures := make([]error, l.Workers)
	var group sync.WaitGroup
	for i := range clients {
		clients[i] = &loadClient{load: l}
		group.Go(func() { failures[i] = clients[i].dial() })
	}
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		return loadReport{}, err
	}
	result := loadReport{Report: l.Run(func(worker int) error { return clients[worker].turn() })}
	for _, client := range clients {
		result.BytesIn += client.bytesIn
		result.BytesOut += client.bytesOut
		client.close()
	}
	return result, nil
}

// loadClient is one connection; a turn that failed leaves it closed and the next one dials anew.
type loadClient struct {
	*load
	conn              net.Conn
	reader            *bufio.Reader
	bytesIn, bytesOut int64
}

func (c *loadClient) dial() error {
	conn, err := net.DialTimeout("tcp", c.address, 10*time.Second)
	if err == nil {
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	return err
}

func (c *loadClient) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *loadClient) turn() error {
	if c.conn == nil {
		if err := c.dial(); err != nil {
			return err
		}
	}
	err := c.exchange()
	if err != nil {
		c.close()
	}
	return err
}

func (c *loadClient) exchange() error {
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	if _, err := io.WriteString(c.conn, c.head); err != nil {
		return err
	}
	for left := c.body; left > 0; {
		n, err := c.conn.Write(filler[:min(left, chunkSize)])
		c.bytesOut += int64(n)
		left -= int64(n)
		if err != nil {
			return err
		}
	}
	response, err := http.ReadResponse(c.reader, c.request)
	if err != nil {
		return err
	}
	read, err := drain(response)
	c.bytesIn += read
	_ = response.Body.Close()
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d", response.StatusCode)
	case c.expect >= 0 && read != c.expect:
		return fmt.Errorf("a body of %d bytes, expected %d", read, c.expect)
	case response.Close:
		c.close()
	}
	return nil
}

// drain reads large bodies in large pieces; io.Discard's own buffer is 8 KiB.
func drain(response *http.Response) (int64, error) {
	if response.ContentLength < chunkSize {
		return io.Copy(io.Discard, response.Body)
	}
	// Without its ReadFrom, which would not use our buffer.
	return io.CopyBuffer(struct{ io.Writer }{io.Discard}, response.Body, make([]byte, chunkSize))
}

var filler = make([]byte, chunkSize)
