package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	front "mm_asgi/gofront"
)

// hookLoop calls one unary hook again and again: ?workers= calls at a time for ?seconds=. The
// body is the request as protojson. It looks at gRPC's status and an AppError alone.
func (c *control) hookLoop(r *http.Request) (object, error) {
	hooks, _, err := c.host.current()
	if err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	request, response, err := hookMessages(name)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		if err := protojson.Unmarshal(body, request); err != nil {
			return nil, err
		}
	}
	if !hooks.callable(name) {
		return nil, fmt.Errorf("%s is not listed by the plugin", name)
	}
	workers, workersErr := strconv.Atoi(r.URL.Query().Get("workers"))
	seconds, secondsErr := strconv.ParseFloat(r.URL.Query().Get("seconds"), 64)
	if err := errors.Join(workersErr, secondsErr); err != nil || workers < 1 {
		return nil, fmt.Errorf("workers and seconds have to be positive numbers (%w)", err)
	}
	result := front.Hammer{Workers: workers, For: time.Duration(seconds * float64(time.Second))}.Run(func(int) error {
		ctx, cancel := context.WithTimeout(context.Background(), hookTimeout)
		defer cancel()
		answer := proto.Clone(response)
		if err := hooks.conn.Invoke(ctx, "/"+hooksService+"/"+name, request, answer); err != nil {
			return err
		}
		if appError := errorField(answer); appError != nil {
			return shownError{appError}
		}
		return nil
	})
	return object{
		"count": result.Count, "errors": result.Errors, "first_error": result.FirstError,
		"seconds": result.Seconds, "p50_us": result.P50, "p99_us": result.P99, "max_us": result.Max,
	}, nil
}
