package netconn

// pumpIfIdle sees to it that somebody reads while an update is under way: if
// nobody is in Read, a goroutine that lives until the update is done. Application
// data that it meets it keeps, up to a bound.
func (r *receiver) pumpIfIdle() {
	if !r.conn.updates.pending.Load() || r.readers.Load() > 0 || !r.pumping.CompareAndSwap(false, true) {
		return
	}
	if !r.conn.spawn(r.pump) {
		r.pumping.Store(false)
	}
}

func (r *receiver) pump() {
	again := r.pumpRecords()
	r.pumping.Store(false)
	// A Read, or a call of pumpIfIdle, may have come and gone since it was decided to stop.
	if again {
		r.pumpIfIdle()
	}
}

// pumpRecords takes in records until there is no more need or no more room, or a
// Read has come to do it. It reports whether it is worth while to try again.
func (r *receiver) pumpRecords() (again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.rest()
	for (r.conn.updates.pending.Load() || r.recordBuffered()) && r.readers.Load() == 0 {
		r.ahead = append(r.ahead, r.unread...)
		r.unread = nil
		if r.err != nil || len(r.ahead) >= maxReadAhead {
			return false
		}
		deadlines := r.deadlines.Load()
		if _, err := r.step(nil); err != nil && deadlines == r.deadlines.Load() {
			return false // the deadline stands: who sets another calls pumpIfIdle
		}
	}
	return true
}
