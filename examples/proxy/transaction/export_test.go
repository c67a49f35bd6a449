package transaction

// Entries returns how many entries the tables of l have.
func (l *Layer) Entries() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.servers) + len(s.clients) + len(s.merged)
		s.mu.Unlock()
	}
	l.streams.mu.Lock()
	defer l.streams.mu.Unlock()
	return n + len(l.streams.clients)
}
