package transport

// Networks are called as the location package calls transports: "udp", and the
// streams "tcp", "tls", "ws" (WebSocket, RFC 7118) and "wss" (the same over TLS).

func isStream(network string) bool {
	return network == "tcp" || network == "tls" || isWebSocket(network)
}

func isSecure(network string) bool { return network == "tls" || network == "wss" }

func isWebSocket(network string) bool { return network == "ws" || network == "wss" }
