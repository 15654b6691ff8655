package front

import (
	"bytes"
	"net/http"
	"net/url"
	"time"
)

type interPluginOrder struct {
	Method         string              `json:"method"`
	Path           string              `json:"path"` // below the plugin, with query
	Headers        map[string][]string `json:"headers"`
	Body           []byte              `json:"body_base64"`
	SourcePluginID string              `json:"source_plugin_id"`
	UserID         string              `json:"user_id"`
}

// InterPlugin is ServeInternalPluginRequest: a request that never was on a socket, so it has no
// host, remote_addr or request_uri, and its context is never cancelled.
func InterPlugin(r *http.Request, serve func(*Context, http.ResponseWriter, *http.Request)) (Object, error) {
	order := interPluginOrder{Method: http.MethodGet, Path: "/"}
	if err := Read(r, &order); err != nil {
		return nil, err
	}
	request, err := http.NewRequest(order.Method, order.Path, bytes.NewReader(order.Body))
	if err != nil {
		return nil, err
	}
	// PluginHTTP in plugin_api.go builds the URL from the path and the sorted query.
	request.URL = &url.URL{Path: request.URL.Path, RawQuery: request.URL.Query().Encode()}
	// The RPC client's PluginHTTP does not pass the length on (client_rpc.go).
	request.ContentLength = 0
	for name, values := range order.Headers {
		for _, value := range values {
			request.Header.Add(name, value)
		}
	}
	// An empty user still sets the header: the plugin sees Mattermost-User-Id with an empty value.
	request.Header.Set(UserIDHeader, order.UserID)
	source := order.SourcePluginID
	if source == "" {
		source = "com.mattermost.server"
	}
	request.Header.Set(PluginIDHeader, source)
	began := time.Now()
	recorder := &responseRecorder{header: http.Header{}}
	serve(&Context{RequestID: NewID(), UserAgent: request.UserAgent()}, recorder, request)
	return Object{
		"status": recorder.status, "headers": recorder.header, "body_base64": recorder.body.Bytes(),
		"flushes": recorder.flushes, "ms": MS(began),
	}, nil
}

// responseRecorder gathers an answer in memory, as the server does between plugins.
type responseRecorder struct {
	header  http.Header
	body    bytes.Buffer
	status  int
	flushes int
}

func (w *responseRecorder) Header() http.Header { return w.header }
func (w *responseRecorder) Flush()              { w.flushes++ }

func (w *responseRecorder) WriteHeader(code int) {
	if w.status == 0 {
		w.status = code
	}
}

func (w *responseRecorder) Write(data []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(data)
}
