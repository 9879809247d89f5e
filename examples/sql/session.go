package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/mendlink/mendlink/netconn"
)

// A session serves one connection with PostgreSQL's protocol: simple queries, and of the
// extended ones the unnamed statement and portal, which is what a driver uses that prepares nothing.
//
// https://www.postgresql.org/docs/current/protocol-flow.html
type session struct {
	db      *database
	user    string // whom the handshake has authenticated
	backend *pgproto3.Backend

	transaction *transaction // nil outside of one
	sql         string       // of the statement that was parsed
	args        []string     // that were bound to it
	failed      bool         // all is skipped until Sync
}

// serveSession serves conn until the client leaves, which is no error.
func serveSession(conn *netconn.Conn, db *database) error {
	if err := conn.Handshake(); err != nil {
		return err
	}
	s := &session{
		db:      db,
		user:    string(conn.ConnectionState().Peer.Credential.Identity),
		backend: pgproto3.NewBackend(conn, conn),
	}
	defer s.rollback() // what a lost connection leaves behind
	if err := s.start(); err != nil {
		return err
	}
	for {
		message, err := s.backend.Receive()
		if err != nil {
			return err
		}
		if _, ok := message.(*pgproto3.Terminate); ok {
			return nil
		}
		s.handle(message)
		if err := s.backend.Flush(); err != nil {
			return err
		}
	}
}

// start asks for no password: the peer has proved its key.
func (s *session) start() error {
	message, err := s.backend.ReceiveStartupMessage()
	if err != nil {
		return err
	}
	startup, ok := message.(*pgproto3.StartupMessage)
	if !ok {
		return fmt.Errorf("got %T at the start", message) // such as a wish for TLS
	}
	if name := startup.Parameters["user"]; name != s.user {
		s.fail("28000", fmt.Errorf("the peer is %q and not %q", s.user, name))
		return errors.Join(errors.New("wrong user"), s.backend.Flush())
	}
	s.backend.Send(&pgproto3.AuthenticationOk{})
	s.backend.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	s.backend.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	s.ready()
	return s.backend.Flush()
}

// handle answers a message. After an error in an extended query, what follows is skipped up to
// the next Sync.
func (s *session) handle(message pgproto3.FrontendMessage) {
	switch m := message.(type) {
	case *pgproto3.Query:
		s.query(m.String)
		s.ready()
		return
	case *pgproto3.Sync:
		s.failed = false
		s.ready()
		return
	}
	if s.failed {
		return
	}
	if err := s.extended(message); err != nil {
		s.failed = true
		s.fail("42601", err)
	}
}

// query answers a simple query.
func (s *session) query(sql string) {
	switch {
	case sql == "begin" && s.transaction == nil:
		s.transaction = s.db.begin()
	case sql == "commit" && s.transaction != nil:
		s.transaction.commit()
		s.transaction = nil
	case sql == "rollback" && s.transaction != nil:
		s.rollback()
	case sql == "-- ping":
		s.backend.Send(&pgproto3.EmptyQueryResponse{})
		return
	default:
		r, err := s.db.execute(s.transaction, s.user, sql, nil)
		if err != nil {
			s.fail("42601", err)
			return
		}
		s.describe(r.columns)
		s.rows(r)
		return
	}
	s.backend.Send(&pgproto3.CommandComplete{CommandTag: []byte(sql)})
}

// extended takes a step of an extended query.
func (s *session) extended(message pgproto3.FrontendMessage) error {
	switch m := message.(type) {
	case *pgproto3.Parse:
		if _, ok := statements[m.Query]; !ok || m.Name != "" {
			return fmt.Errorf("this database does not know %q, and keeps no statements", m.Query)
		}
		s.sql = m.Query
		s.backend.Send(&pgproto3.ParseComplete{})
	case *pgproto3.Bind:
		args, err := arguments(m)
		if err != nil {
			return err
		}
		s.args = args
		s.backend.Send(&pgproto3.BindComplete{})
	case *pgproto3.Describe:
		s.describe(statements[s.sql].columns)
	case *pgproto3.Execute:
		r, err := s.db.execute(s.transaction, s.user, s.sql, s.args)
		if err != nil {
			return err
		}
		s.rows(r)
	default:
		return fmt.Errorf("not supported: %T", message)
	}
	return nil
}

// arguments returns what is bound to a statement, as text.
func arguments(bind *pgproto3.Bind) ([]string, error) {
	for _, format := range bind.ResultFormatCodes {
		if format != pgproto3.TextFormat {
			return nil, errors.New("results come as text only")
		}
	}
	args := make([]string, len(bind.Parameters))
	for i, p := range bind.Parameters {
		format := int16(pgproto3.TextFormat)
		switch codes := bind.ParameterFormatCodes; len(codes) {
		case 0:
		case 1:
			format = codes[0] // for all
		case len(args):
			format = codes[i]
		default:
			return nil, errArguments
		}
		switch {
		case format == pgproto3.TextFormat:
			args[i] = string(p)
		case len(p) == 8:
			args[i] = strconv.FormatInt(int64(binary.BigEndian.Uint64(p)), 10)
		default:
			return nil, errors.New("of what is binary, only int8 is understood")
		}
	}
	return args, nil
}

func (s *session) describe(columns []column) {
	if len(columns) == 0 {
		s.backend.Send(&pgproto3.NoData{})
		return
	}
	d := &pgproto3.RowDescription{}
	for _, c := range columns {
		d.Fields = append(d.Fields, pgproto3.FieldDescription{Name: []byte(c.name), DataTypeOID: c.oid, DataTypeSize: -1, TypeModifier: -1})
	}
	s.backend.Send(d)
}

func (s *session) rows(r result) {
	for _, row := range r.rows {
		values := make([][]byte, len(row))
		for i, v := range row {
			values[i] = []byte(v)
		}
		s.backend.Send(&pgproto3.DataRow{Values: values})
	}
	s.backend.Send(&pgproto3.CommandComplete{CommandTag: []byte(r.tag)})
}

func (s *session) ready() {
	status := byte('I') // idle
	if s.transaction != nil {
		status = 'T'
	}
	s.backend.Send(&pgproto3.ReadyForQuery{TxStatus: status})
}

func (s *session) fail(code string, err error) {
	s.backend.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: code, Message: err.Error()})
}

func (s *session) rollback() {
	if s.transaction != nil {
		s.transaction.rollback()
		s.transaction = nil
	}
}
