package main

import front "mm_asgi/gofront"

// The names that this host uses everywhere for what it shares with tests/nethost.
type (
	object        = front.Object
	events        = front.Events
	hostLog       = front.Log
	pluginContext = front.Context
	rewriteRules  = front.Rules
)
