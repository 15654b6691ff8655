"""A plugin over go-plugin's net/rpc: what every released Mattermost server calls, and how.

``wire/netrpc`` speaks the protocol and knows no plugin; here its calls meet the plugin's parts.

    plugin_wire.py      the wire as a process takes it: one host, its Quit, its API
    hook_server.py      the host's calls of hooks: which RPC, in which task
    open_call.py        one call: arguments to a request, a response to returns
    file_hook.py        FileWillBeUploaded, whose file comes and goes on streams
    http_exchange.py    ServeHTTP as an HTTP exchange
    request_body.py     the request's body, read by permission
    response_calls.py   the host's writer, called one call after another
    event_padding.py    comments that push events out of a server that cannot flush
"""
