package pgserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/xdg-go/scram"

	"github.com/tidemill/tidemill/internal/security"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// Authenticator knows the roles. It is safe for concurrent use.
type Authenticator interface {
	// LoginRole returns what is known of a role that wants to log in; known is false if
	// there is none of that name. An error, with a SQLSTATE, says that it cannot be told now.
	LoginRole(name string) (login security.Login, known bool, err error)
}

// Names of the mechanisms.
const (
	mechanism     = "SCRAM-SHA-256"
	mechanismPlus = "SCRAM-SHA-256-PLUS" // bound to the TLS connection
)

// maxAuthBytes bounds a message of a client that is not logged in.
const maxAuthBytes = 16 << 10

// Codes of refused logins.
const (
	codeAuthorization = "28000"
	codePassword      = "28P01"
)

// authenticate lets the user of opt in, or says why not. Who is on this machine is trusted
// unless the configuration says otherwise; everybody else comes over TLS and has a password.
func (c *conn) authenticate(opt *session.Options) error {
	cfg := &c.srv.cfg
	if cfg.Auth == nil {
		return nil
	}
	local := security.Local(c.nc.RemoteAddr())
	if !local && c.tls == nil && !cfg.AllowPlaintext {
		hint := "Connect with sslmode=verify-full and the cluster's ca.crt, or at least with sslmode=require."
		if cfg.TLS == nil {
			hint = "This node has no certificates: make them with tidemill cert."
		}
		return &types.Error{Code: codeAuthorization, Hint: hint, Message: fmt.Sprintf("connection refused for host %q, user %q, database %q, no encryption",
			security.AddrOf(c.nc.RemoteAddr()), opt.User, opt.Database)}
	}
	login, known, err := cfg.Auth.LoginRole(opt.User)
	if err != nil {
		return err
	}
	if !local || cfg.RequirePassword {
		if err := c.password(opt.User, login); err != nil {
			return err
		}
	}
	if known && !login.Allowed {
		return &types.Error{Code: codeAuthorization, Message: fmt.Sprintf("role %q is not permitted to log in", opt.User)}
	}
	return nil
}

// password asks for the password of a role, in the same way whether or not it exists and
// has one.
func (c *conn) password(user string, login security.Login) error {
	failed := &types.Error{Code: codePassword, Message: fmt.Sprintf("password authentication failed for user %q", user)}
	from := c.nc.RemoteAddr()
	if !c.srv.limiter.Allow(from, user) {
		return &types.Error{Code: codeAuthorization, Message: fmt.Sprintf("too many failed logins of user %q from this address", user), Hint: "Try again in a minute."}
	}
	v, err := security.ParseVerifier(login.Verifier)
	if err != nil {
		v = c.srv.mock.Verifier(user)
	}
	right, err := c.scram(v)
	if err != nil {
		return err
	}
	if !right {
		c.srv.limiter.Failed(from, user)
		c.srv.cfg.Logf("login of user %q from %s failed: the password is not right, or there is no such role, or it has no password", user, from)
		return failed
	}
	return nil
}

// scram holds the conversation of RFC 5802, and returns whether the client knows the
// password. Errors are those of a client that does not keep to the protocol, or is gone.
func (c *conn) scram(v *security.Verifier) (bool, error) {
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { // the name is that of the start-up message
		return scram.StoredCredentials{KeyFactors: scram.KeyFactors{Salt: string(v.Salt), Iters: v.Iterations}, StoredKey: v.StoredKey, ServerKey: v.ServerKey}, nil
	})
	if err != nil {
		return false, err
	}
	conv, offered := server.NewConversation(), []string{mechanism}
	if cb := c.binding(); cb.IsSupported() {
		conv, offered = server.NewConversationWithChannelBinding(cb), []string{mechanismPlus, mechanism}
	}
	c.be.SetMaxBodyLen(maxAuthBytes)
	defer c.be.SetMaxBodyLen(MaxMessageBytes)
	first, err := c.ask(&pgproto3.AuthenticationSASL{AuthMechanisms: offered}, pgproto3.AuthTypeSASL)
	if err != nil {
		return false, err
	}
	init, ok := first.(*pgproto3.SASLInitialResponse)
	if !ok {
		return false, protocolError(fmt.Sprintf("expected SASL response, got %T", first))
	}
	bound := len(init.Data) > 1 && init.Data[0] == 'p'
	if init.AuthMechanism != mechanism && (init.AuthMechanism != mechanismPlus || len(offered) == 1) {
		return false, protocolError("client selected an invalid SASL authentication mechanism")
	}
	if bound != (init.AuthMechanism == mechanismPlus) {
		return false, protocolError("malformed SCRAM message: channel binding does not go with the mechanism")
	}
	reply, err := conv.Step(string(init.Data))
	if err != nil {
		return false, protocolError("malformed SCRAM message: " + err.Error())
	}
	second, err := c.ask(&pgproto3.AuthenticationSASLContinue{Data: []byte(reply)}, pgproto3.AuthTypeSASLContinue)
	if err != nil {
		return false, err
	}
	final, ok := second.(*pgproto3.SASLResponse)
	if !ok {
		return false, protocolError(fmt.Sprintf("expected SASL response, got %T", second))
	}
	reply, err = conv.Step(string(final.Data))
	if err != nil || !conv.Valid() {
		return false, nil
	}
	c.be.Send(&pgproto3.AuthenticationSASLFinal{Data: []byte(reply)})
	return true, nil
}

// ask sends a message of the authentication and returns the answer to it.
func (c *conn) ask(m pgproto3.BackendMessage, kind uint32) (pgproto3.FrontendMessage, error) {
	c.be.Send(m)
	if err := c.be.Flush(); err != nil {
		return nil, errors.Join(errConnection, err)
	}
	if err := c.be.SetAuthType(kind); err != nil {
		return nil, err
	}
	msg, err := c.be.Receive()
	if err != nil {
		return nil, errors.Join(errConnection, err)
	}
	return msg, nil
}

// encrypt goes on over TLS. What the client may have sent before it had the answer is
// dropped: nobody vouches for it.
func (c *conn) encrypt(ctx context.Context, alpn ...string) error {
	conf := c.srv.cfg.TLS.Clone()
	conf.NextProtos = alpn
	if get := conf.GetCertificate; get != nil {
		conf.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, err := get(h)
			c.shown = cert
			return cert, err
		}
	} else if len(conf.Certificates) == 1 {
		c.shown = &conf.Certificates[0]
	}
	t := tls.Server(buffered{c.nc, c.rd.r}, conf)
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	c.tls = t
	c.stream(t)
	return nil
}

// buffered is a connection of which some bytes may have been read ahead.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

// Read implements io.Reader.
func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// binding is what ties a login to this TLS connection: the hash of the certificate that the
// client was shown (tls-server-end-point).
func (c *conn) binding() scram.ChannelBinding {
	if c.tls == nil || c.shown == nil || len(c.shown.Certificate) == 0 {
		return scram.ChannelBinding{}
	}
	leaf := c.shown.Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(c.shown.Certificate[0]); err != nil {
			return scram.ChannelBinding{}
		}
	}
	cb, err := scram.NewTLSServerEndpointBinding(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}})
	if err != nil {
		return scram.ChannelBinding{}
	}
	return cb
}
