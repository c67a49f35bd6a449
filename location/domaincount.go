package location

import "sync"

// domainCount counts the AORs of each domain that have bindings. Its lock comes
// after that of a shard, and a refresh does not take it.
type domainCount struct {
	mu   sync.RWMutex
	aors map[string]int // none is 0
}

func (x *domainCount) init() { x.aors = map[string]int{} }

// add counts an AOR that has got its first binding. The domain is kept.
func (x *domainCount) add(domain string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.aors[domain]++
}

// remove is for an AOR that has lost its last one.
func (x *domainCount) remove(domain string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.aors[domain]--; x.aors[domain] == 0 {
		delete(x.aors, domain)
	}
}

func (x *domainCount) get(domain string) int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.aors[domain]
}
