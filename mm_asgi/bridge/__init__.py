"""HTTP as ASGI: an exchange comes in, scope and events go out.

exchange.py is what the bridge needs of any wire, and serve_http.py is that on gRPC. handler.py
admits a request, http.py runs its cycle by the tables of state.py; request.py, response.py and
scope.py are pure. Nothing here does I/O.
"""
