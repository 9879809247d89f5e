package channel

// acceptingEarlyData returns two ends after a full handshake, which both accept early data.
func acceptingEarlyData(t tb) (a, b *peer) {
	t.Helper()
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	ha.cfg.MaxEarlyData, hb.cfg.MaxEarlyData = 100, 200
	a, b = initiate(t, ha, hb)
	a.start(t)
	settle(t, a, b)
	agree(t, a, b)
	return a, b
}

// resumeEarly returns two ends, of which the first resumes with early data.
func resumeEarly(t tb, data []byte) (a, b *peer) {
	t.Helper()
	a, b = acceptingEarlyData(t)
	id := a.ID()
	cut(a, b)
	return resumeWith(t, a.host, b.host, id, data)
}

// resumeWith returns the two ends of a connection on which the first host resumes
// with early data.
func resumeWith(t tb, ha, hb *host, id SessionID, data []byte) (a, b *peer) {
	t.Helper()
	a, b = resumer(t, ha, id), listen(t, hb)
	connect(a, b)
	events, err := a.StartWithEarlyData(ctx, data)
	a.carryOut(t, events, err)
	return a, b
}
