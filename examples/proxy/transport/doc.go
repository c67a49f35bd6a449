// Package transport carries SIP messages for a proxy over UDP, TCP and TLS (RFC
// 3261 section 18) and, as a server, over WebSocket with and without TLS (RFC
// 7118).
//
// What comes in is framed, parsed by [sipmsg.Parse] and handed to a [Handler]
// together with its [Flow], the path back to the sender. A phone behind a NAT
// can be reached over the flow of its registration and over nothing else, so
// flows are what a proxy keeps and sends on:
//
//	layer, err := transport.New(transport.Config{Handler: h})
//	…
//	err = layer.Listen(ctx, "udp", netip.MustParseAddrPort("192.0.2.1:5060"))
//	…
//	err = layer.Run(ctx)
//
// # Order
//
// The handler runs in the goroutine that reads. Messages of one flow are
// therefore handled one at a time and in the order of arrival: a BYE never
// overtakes the ACK before it. Messages of different flows may be handled at
// the same time. A handler that blocks keeps everybody behind it waiting.
//
// # Flows and addresses
//
// There are two ways to get a flow other than from a message. [Layer.Find]
// finds a way that exists, for a phone: it opens nothing, and over a stream it
// returns the connection of that very remote address or none at all.
// [Layer.Dial] may open a connection, for a server whose address is configured
// or was resolved.
//
// A NAT may give the address of a connection that has ended to another client.
// [Handler].Closed comes before the connection of that one can be found, so
// whoever forgets then what was at the address never takes the one for the
// other. A later connection is another flow, with another [Flow.ID].
//
// Over UDP everything leaves from a listener's own socket. No socket, and no
// memory, is spent per remote address. Listen on the addresses of the host
// rather than on 0.0.0.0, where the kernel chooses what address an answer
// leaves from.
//
// Addresses are never IPv4-mapped: a sender that a dual-stack socket calls
// ::ffff:192.0.2.1 is 192.0.2.1 here.
//
// # What strangers can do
//
// Keepalives, STUN and garbage end here and count, see [Stats]. CRLFCRLF on a
// stream, a WebSocket's Ping and a STUN Binding request are answered (RFC 5626
// section 4.4, RFC 7118 section 6), with hardly more than was sent. Streams of
// all kinds have the same [Limits] in number, time and bytes, from their first
// handshake on; how many come in a second is for [Config].Accept to bound. No
// datagram and no read error ends a listener, and a panic of the handler ends
// nothing.
//
// # Shutdown
//
// Run ends when its context does. It then stops to accept and to read, calls
// [Handler].Closed for each of the streams, lets them write what is queued, for
// [Limits].Write at most, and their peers a moment to take leave, and closes the listeners' sockets last. It returns
// when no goroutine of the layer is left. To drain calls first, stop taking new
// ones above this package, and end the context when they are over. Sockets that
// somebody else keeps open as well, such as systemd, lose nothing meanwhile: see
// [Layer.ServePacket] and [Layer.ServeStream].
package transport
