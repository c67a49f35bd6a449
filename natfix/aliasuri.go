package natfix

import "strings"

// hostStart returns where the host of a SIP or SIPS URI starts, -1 if uri is
// neither.
func hostStart(uri string) int {
	scheme, _, ok := strings.Cut(uri, ":")
	if !ok || !strings.EqualFold(scheme, "sip") && !strings.EqualFold(scheme, "sips") {
		return -1
	}
	// A user part may hold any of ";?", the headers hold no "@".
	if at := strings.IndexByte(uri, '@'); at >= 0 {
		return at + 1
	}
	return len(scheme) + 1
}

// paramsEnd returns where the parameters of uri end and its headers start.
func paramsEnd(uri string, host int) int {
	if q := strings.IndexByte(uri[host:], '?'); q >= 0 {
		return host + q
	}
	return len(uri)
}

// findAlias returns the place of the last alias parameter, semicolon included,
// or -1. The last one is ours: others were there before.
func findAlias(uri string) (start, end int) {
	host := hostStart(uri)
	if host < 0 {
		return -1, -1
	}
	end = paramsEnd(uri, host)
	for {
		start = strings.LastIndexByte(uri[host:end], ';')
		if start < 0 {
			return -1, -1
		}
		start += host
		name, _, ok := strings.Cut(uri[start+1:end], "=")
		if ok && strings.EqualFold(name, aliasName) {
			return start, end
		}
		end = start
	}
}
