"""The native wire: gRPC over HTTP/2 on asyncio. docs/decisions/0009 says why it exists.

Read it in this order, each module beside its part of the standards:

- ``frames``: numbers and builders (RFC 9113 sections 4, 6, 7); ``huffman``, ``hpack``: RFC 7541;
  ``fields``: what a header list must look like (RFC 9113 section 8);
- ``stream``: a stream's states in one table, and its sending side (sections 5.1, 5.2);
  ``connection``: bytes in, bytes out (sections 3.4, 5, 6); ``limits``: what a peer may cost;
- ``rpc``: messages, metadata, status and time-outs (the gRPC project's PROTOCOL-HTTP2.md);
- ``encoding``: gzip; ``messages``: the receiving half of an RPC, for either side;
- ``transport``: a connection on asyncio; ``call``, ``refused``, ``server``: the port's Stream and
  Server; ``tls``;
- ``client_rpc``: a client's heads; ``target``: a server's address; ``deadlines``: their clock;
  ``client_call``, ``stream_call``, ``client_transport``, ``channel``: the port's Call and Channel.

The modules above ``transport`` know no asyncio: bytes and calls go in, bytes and calls come out.
"""
