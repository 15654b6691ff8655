"""The ServeHTTP stream as ASGI: messages and the wire's port come in, scope and events go out.

Nothing here does I/O: scope.py and response.py are pure, http.py knows the Stream of wire/port.py.
"""
