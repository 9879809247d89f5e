package channel

import "fmt"

// logSecrets writes an epoch's traffic secrets to the key log, if there is one:
//
//	CLIENT_TRAFFIC_SECRET <session id> <epoch> <secret>
//	SERVER_TRAFFIC_SECRET <session id> <epoch> <secret>
//
// "Client" is the end that was the initiator of the full handshake. A log that
// cannot be written ends the session: whoever asked for it relies on it.
func (s *Session) logSecrets(t *trafficSecrets) error {
	if s.keyLog == nil || t.send == nil {
		return nil
	}
	client, server := t.send, t.receive
	if s.role == RoleResponder {
		client, server = t.receive, t.send
	}
	_, err := fmt.Fprintf(s.keyLog, "CLIENT_TRAFFIC_SECRET %v %d %x\nSERVER_TRAFFIC_SECRET %v %d %x\n",
		s.id, t.epoch, client, s.id, t.epoch, server)
	return logFault(err)
}

// logEarlyData writes the secret of early data, with the epoch that the request
// leads to:
//
//	EARLY_DATA_SECRET <session id> <epoch> <secret>
func (s *Session) logEarlyData(epoch uint64, secret []byte) error {
	if s.keyLog == nil {
		return nil
	}
	_, err := fmt.Fprintf(s.keyLog, "EARLY_DATA_SECRET %v %d %x\n", s.id, epoch, secret)
	return logFault(err)
}

func logFault(err error) error {
	if err != nil {
		return because(AlertInternalError, fmt.Errorf("channel: writing the key log: %w", err))
	}
	return nil
}
