"""A released server's side of net/rpc: what every Mattermost that can be installed does to a plugin.

The twin of the gRPC client in ``host/plugin``, after Mattermost's client_rpc.go and http.go. The judge
of both is the real package, which tests/nethost runs.

    released_connection.py  dials, opens the first streams, offers others, calls hooks, pings
    go_values.py            a message as Go sends it, and what Go does with a value that is not its own
    hook_values.py          a hook's request as arguments, its returns as a response
    config_values.py        a config's JSON as Go's struct
    released_exchange.py    one HTTP request by ServeHTTP
    writer_service.py       the http.ResponseWriter that the plugin calls
    reader_service.py       an io.Reader that the plugin reads by permission: a body, a file
    file_upload.py          FileWillBeUploaded and its two streams
    api_service.py          the API: the in-memory Mattermost's answers as Go's returns
    api_bodies.py           the API's calls whose bodies are streams

The cores of gob and yamux are those of ``wire/netrpc``: they know both sides, and a fault in one of
them shows on the real package. As strict as that package is what the host makes of a plugin's
mistakes: an answer of a wrong type ends the hooks' stream for good, of calls that were sent together
the newest is served first, and an offer that nobody takes up is an error in the log after 5 s.
"""
