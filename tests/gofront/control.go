package front

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

// ErrNoPlugin is the control API's 409: no plugin is connected.
var ErrNoPlugin = errors.New("no plugin is connected")

// Answer turns a function into a handler: its object as JSON, or 400 with {"error": ...}.
func Answer(do func(r *http.Request) (Object, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		result, err := do(r)
		code := http.StatusOK
		if err != nil {
			result, code = Object{"error": err.Error()}, http.StatusBadRequest
			if errors.Is(err, ErrNoPlugin) {
				code = http.StatusConflict
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(result)
	}
}

// Read decodes a JSON body into `into`; an empty body leaves it as it is.
func Read(r *http.Request, into any) error {
	body, err := io.ReadAll(r.Body)
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return err
	}
	return json.Unmarshal(body, into)
}

// MS is the time since then in milliseconds, as every answer shows it.
func MS(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1000 }
