package node

import (
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/security"
)

// renewBefore is how long before its end a certificate is called a problem.
const renewBefore = 30 * 24 * time.Hour

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

// certProblems says in words what is wrong with the node's certificates.
func (n *Node) certProblems(now time.Time) (out []string) {
	if n.certs == nil {
		return nil
	}
	if err := n.certs.Problem(); err != nil {
		out = append(out, err.Error())
	}
	if end := n.certs.Expires(); end.Sub(now) < renewBefore {
		out = append(out, fmt.Sprintf("the certificate in %s expires at %s: renew it with tidemill cert renew", n.certs.Dir(), end.UTC().Format("2006-01-02 15:04 UTC")))
	}
	return out
}
