// Package guard decides whom a SIP proxy serves when not everybody means well:
// it limits floods, bans who guesses passwords, knows scanners by their name,
// and sheds load before queues grow. It has no sockets and reads no messages;
// the program asks it, and does what it says:
//
//	if g.AdmitConnection(src, now) != guard.Served { // each one, before its handshake
//		return
//	}
//	…
//	switch g.Admit(src, now) { // each message, before anything is kept for it
//	case guard.Limited, guard.Banned:
//		return
//	}
//	…
//	switch g.AdmitNew(src, callID, now) { // a request that begins something new
//	…
//
// # Who is never refused
//
// A [Source] is trusted if [Guard.SetTrusted] says so: the PBXes, and the host
// itself. It is live if [Config].Live says that a phone is registered over this
// very flow. Neither is subject to any limit, and no ban ever covers a trusted
// address: one that does is refused, or lifted when the address becomes trusted.
// An address is known while a phone has registered from it within a day. It has
// a limit of its own, which no stranger can use up.
//
// The others share what there is. Half of each limit is for them alone: when it
// is half used, those that are trusted or live do not draw on it any more. So
// a phone that comes back from behind the NAT of a busy office gets in. And a
// quarter of what all strangers together may begin is for those who were refused
// and ask again: a new phone gets in by repeating its REGISTER, however many
// forged addresses send one each.
//
// # What is evidence
//
// Anybody can send a datagram in the name of anybody. So a flood over UDP is
// limited but leads to no ban, and of failures only those count that cannot be
// forged: over a connection, or from who repeats the nonce of a challenge that
// we sent to that very address. An address that phones are registered from is
// not banned either, as one of two hundred phones in an office may have a wrong
// password.
//
// # What it costs
//
// Nothing is allocated for a message or a connection. A message takes no lock while
// less than half of its limit is used, and later one that it shares with others, as
// a connection always does. Some megabytes hold everything, whoever sends how much
// from how many addresses: the limits are arrays, indexed by hashes that nobody
// outside can foresee; known addresses, offenders and bans come with proof only, and
// are so many at most.
//
// # Time
//
// Each method takes the present time as an argument, so that the program reads
// the clock once for a message. It must come from [time.Now], and not lie
// before [New].
package guard
