"""go-plugin's net/rpc, the wire of every released Mattermost server.

Four protocols stand on each other, and each is a core of its own without a socket and a clock:

    broker.py                MuxBroker: which offer a stream takes up
    rpc_conversation.py      Go's net/rpc: calls and outcomes by number
    gob_*.py                 Go's encoding/gob: values, and the types they are made of
    yamux_*.py               many streams on one connection

They import the standard library and ``mm_asgi.errors`` alone. What lives on asyncio stands on them:

    stream_owner.py          whom a stream belongs to
    mux_link.py              a connection: reads, writes, and tells each stream's owner
    mux_socket.py            its socket, for the loop and for a thread
    dials.py                 what the other side offers, dialled at once or later
    stand_in.py              the thread, while the loop stands still
    live_calls.py            RPCCaller (calls with futures) and RPCAnswerer (calls to be answered)
    byte_pipe.py             BytePipe: a request's body, a file
    endpoint.py              the address, and the one connection taken there
    plugin_session.py        what the host begins with: control, standard streams, the hooks

**How a hook, an API call and ServeHTTP use it.** One ``GobBook`` a process, with the types that
interfaces may hold; it shares what was compiled between all streams.

    book = GobBook({"*model.AppError": APP_ERROR, "[]interface {}": ANY_LIST, ...})
    endpoint = NetRPCEndpoint(
        lambda: PluginSession(book, handle=on_hook, on_quit=quit, on_lost=lost)
    )
    await endpoint.start(listener)

    def on_hook(call, answerer, session):           # for each call, in the order of their arrival
        call.method, call.arguments                 # "Plugin.OnActivate", {"APIMuxId": 5, ...}
        answerer.reply(call, RETURNS, {"A": "x"})   # now or later; or answerer.refuse(call, "text")

A hook's ``reply`` raises TypeError or ValueError for a value that is not of the table's type, with
the path to it, and has sent nothing then: ``refuse`` it. A wrong type that left would end the
host's hooks for good.

    api = RPCCaller(book)                           # in OnActivate
    session.link.dial(call.arguments["APIMuxId"], api)
    reply = await api.call("Plugin.GetUser", ARGS, {"A": user_id})    # a dict, without the zeros

``call`` returns a future, which raises CallRefused (``.text``, ``.is_unknown`` for a method that an
older server lacks), ConnectionError, or HostProtocolError. Calls that are made together may be
served in any order: whoever needs an order awaits each.

    writer = RPCCaller(book)                        # in ServeHTTP
    first = writer.call("Plugin.SyncHeader", HEADER, headers)         # before there is a stream
    session.link.dial(call.arguments["ResponseWriterStream"], writer) # dial and call in one frame
    await first                                     # ConnectionError after 5 s: nobody was there
    writer.is_taken                                 # whether the host has ever acknowledged
    writer.close()

    body = BytePipe()                               # a body that is read
    session.link.dial(call.arguments["RequestBodyStream"], body)
    body.write(grant)
    data = await body.read()                        # b"" at the end; credit is given by reading
    body.discard()
    session.link.dial(number, StreamOwner(), fin=True)                # a body that nobody reads

    pipe = BytePipe()                               # what the host reads of us: UploadData, files
    number = session.link.offer(pipe)
    ...                                             # tell the host the number, in a call
    await pipe.wait_taken(); pipe.write(data); await pipe.drain(); pipe.close()
    session.link.withdraw(number)                   # where the call failed and nobody dialled

Values are plain: structs and maps are dicts, slices are lists, ``Registered(name, value)`` stands
for an interface's value of a registered type. Types to send are made of ``gob_types``; a field of a
pointer's type is ``GobField(name, type, always=True)``, and then a zero is sent, which Go itself
cannot. Times are bytes for ``gob_values.read_time`` and ``write_time``; a URL's bytes are its text.
"""
