package node

import "github.com/tidemill/tidemill/internal/security"

// LoginRole implements pgserver.Authenticator and httpapi.Authenticator.
func (p *pipeline) LoginRole(name string) (login security.Login, known bool, err error) {
	e := p.engine.Load()
	if e == nil {
		return security.Login{}, false, p.starting().clientError()
	}
	return e.LoginRole(name)
}

// LoginRole says what there is to know of a role that wants to log in.
func (n *Node) LoginRole(name string) (login security.Login, known bool, err error) {
	return n.pipeline.LoginRole(name)
}
