package relay

// Dialogs returns how many dialogs are known for ACKs without a Route.
func (r *Relay) Dialogs() int {
	r.dialogs.mu.Lock()
	defer r.dialogs.mu.Unlock()
	return len(r.dialogs.flows)
}
