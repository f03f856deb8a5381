package security

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// checkEvery is how often at most a handshake looks whether the files are others.
const checkEvery = 2 * time.Second

// Certs serves the certificates of a directory, and takes up renewed ones while it runs:
// at a handshake, at most every two seconds, the files are looked at. New files that
// are not right are not taken; the old ones stay. It is safe for concurrent use and has
// no goroutine.
type Certs struct {
	dir string

	mu       sync.Mutex
	now      func() time.Time
	cur      *bundle
	checked  time.Time
	rejected *bundle // raw files that were not right at the last check
	problem  error   // why; nil when all is well
	report   func(error)
	reported bool
}

// bundle is what the files of a directory say together. It is immutable.
type bundle struct {
	raw  [3][]byte // ca.crt, node.crt, node.key
	pool *x509.CertPool
	cas  []*x509.Certificate
	cert tls.Certificate // the node's, then that of its authority
	leaf *x509.Certificate
	ca   *x509.Certificate // leaf's issuer
}

// Open reads the certificates of dir. It fails unless they are right now: the key is the
// certificate's, which the authority has signed, for a node, and which has not expired.
func Open(dir string) (*Certs, error) {
	c := &Certs{dir: dir, now: time.Now}
	b, err := read(dir)
	if err == nil {
		err = b.parse(c.now())
	}
	if err != nil {
		return nil, fmt.Errorf("certificates in %s: %w", dir, err)
	}
	c.cur, c.checked = b, c.now()
	return c, nil
}

// OnProblem has report called when new files are not taken, once for each state of the
// files, on the goroutine of a handshake.
func (c *Certs) OnProblem(report func(error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report = report
}

// Problem is why the files that are there now are not in use; nil if they are.
func (c *Certs) Problem() error {
	c.current()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.problem
}

// Dir is the directory.
func (c *Certs) Dir() string { return c.dir }

// Node is the name in the node's certificate.
func (c *Certs) Node() string { return c.current().leaf.Subject.CommonName }

// Cluster is the name in the certificate of the node's authority.
func (c *Certs) Cluster() string { return c.current().ca.Subject.CommonName }

// Expires is when the node's certificate, or the authority's if that is earlier, ends.
func (c *Certs) Expires() time.Time {
	b := c.current()
	if b.ca.NotAfter.Before(b.leaf.NotAfter) {
		return b.ca.NotAfter
	}
	return b.leaf.NotAfter
}

// Peer configures both ends of connections between nodes, routes and requests to each other's
// ports: TLS 1.3, each shows a node's
// certificate of this cluster's authority, whose name is not compared with the address,
// since the authority is the identity.
func (c *Certs) Peer() *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &c.current().cert, nil },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.current().cert, nil },
		ClientAuth:           tls.RequireAnyClientCert, // VerifyConnection does it, by the authority of the moment
		InsecureSkipVerify:   true,                     // likewise
		VerifyConnection:     c.verifyNode,
		// A resumed session would skip what a renewed authority no longer accepts.
		SessionTicketsDisabled: true,
	}
}

// Server configures the SQL and HTTP ports: TLS 1.2 or newer; a client may show a
// certificate, but it has to be one of this authority.
func (c *Certs) Server() *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS12,
		GetCertificate:   func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &c.current().cert, nil },
		ClientAuth:       tls.RequestClientCert,
		VerifyConnection: c.verifyClient,
	}
}

// IsNode reports whether s shows a node's certificate of this authority.
func (c *Certs) IsNode(s *tls.ConnectionState) bool { return s != nil && c.verifyNode(*s) == nil }

func (c *Certs) verifyNode(s tls.ConnectionState) error {
	return c.current().verifyNode(s.PeerCertificates, c.clock())
}

func (c *Certs) verifyClient(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return nil
	}
	return c.current().verify(s.PeerCertificates, c.clock(), x509.ExtKeyUsageClientAuth)
}

func (c *Certs) clock() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

// current returns what is in use, after a look at the files if the last is long ago.
func (c *Certs) current() *bundle {
	c.mu.Lock()
	now := c.now()
	b := c.cur
	if d := now.Sub(c.checked); d >= 0 && d < checkEvery {
		c.mu.Unlock()
		return b
	}
	c.checked = now // others go on with what is in use meanwhile
	c.mu.Unlock()

	fresh, err := read(c.dir)
	if err == nil && fresh.same(b) {
		return c.settle(b, nil, nil)
	}
	if err == nil {
		if err = fresh.parse(now); err == nil {
			return c.settle(fresh, nil, nil)
		}
	} else {
		fresh = &bundle{raw: [3][]byte{[]byte(err.Error())}}
	}
	return c.settle(b, fresh, fmt.Errorf("certificates in %s: the new files are not taken: %w", c.dir, err))
}

// settle ends a check: use is in use now. Files that are not right are reported when they
// are still the same at the next check, for whoever replaces several is in between for a
// moment.
func (c *Certs) settle(use, rejected *bundle, problem error) *bundle {
	c.mu.Lock()
	c.cur, c.problem = use, problem
	again := rejected != nil && c.rejected != nil && rejected.same(c.rejected)
	if !again {
		c.reported = false
	}
	c.rejected = rejected
	report := c.report
	if !again || c.reported || report == nil {
		report = nil
	} else {
		c.reported = true
	}
	c.mu.Unlock()
	if report != nil {
		report(problem)
	}
	return use
}

// read reads the files of dir as they are.
func read(dir string) (*bundle, error) {
	b := &bundle{}
	for i, name := range []string{CACertFile, NodeCertFile, NodeKeyFile} {
		text, err := readSmall(dir, name)
		if err != nil {
			return nil, err
		}
		b.raw[i] = text
	}
	return b, nil
}

func (b *bundle) same(o *bundle) bool {
	for i := range b.raw {
		if !bytes.Equal(b.raw[i], o.raw[i]) {
			return false
		}
	}
	return true
}

// parse makes sense of the files, and checks that they fit together now.
func (b *bundle) parse(now time.Time) error {
	var err error
	if b.cas, err = parseCerts(b.raw[0]); err != nil {
		return fmt.Errorf("%s: %w", CACertFile, err)
	}
	b.pool = x509.NewCertPool()
	for _, ca := range b.cas {
		if !ca.IsCA {
			return fmt.Errorf("%s: the certificate of %q is not an authority's", CACertFile, ca.Subject.CommonName)
		}
		b.pool.AddCert(ca)
	}
	b.cert, err = tls.X509KeyPair(b.raw[1], b.raw[2])
	if err != nil {
		return fmt.Errorf("%s and %s: %w", NodeCertFile, NodeKeyFile, err)
	}
	b.leaf = b.cert.Leaf
	if err := b.verifyNode([]*x509.Certificate{b.leaf}, now); err != nil {
		return fmt.Errorf("%s: %w", NodeCertFile, err)
	}
	for _, ca := range b.cas {
		if b.leaf.CheckSignatureFrom(ca) == nil {
			b.ca = ca
			break
		}
	}
	if b.ca == nil {
		return fmt.Errorf("%s: not signed by a certificate of %s itself", NodeCertFile, CACertFile)
	}
	// Who joins knows the authority by its hash alone, and has to see it.
	b.cert.Certificate = [][]byte{b.leaf.Raw, b.ca.Raw}
	return nil
}

// verifyNode checks a chain, the leaf first, to be that of a node.
func (b *bundle) verifyNode(chain []*x509.Certificate, now time.Time) error {
	if err := b.verify(chain, now, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth); err != nil {
		return err
	}
	return checkNode(chain[0])
}

// checkNode checks that a certificate that an authority vouches for is a node's.
func checkNode(leaf *x509.Certificate) error {
	if !slices.Contains(leaf.Subject.Organization, NodeOrganisation) {
		return fmt.Errorf("the certificate of %q is not a node's", leaf.Subject.CommonName)
	}
	return nil
}

// verify checks a chain, the leaf first, against the authority, for all of uses.
func (b *bundle) verify(chain []*x509.Certificate, now time.Time, uses ...x509.ExtKeyUsage) error {
	return verifyChain(b.pool, chain, now, uses...)
}

func verifyChain(pool *x509.CertPool, chain []*x509.Certificate, now time.Time, uses ...x509.ExtKeyUsage) error {
	if len(chain) == 0 {
		return errors.New("no certificate was shown")
	}
	leaf := chain[0]
	if now.After(leaf.NotAfter) {
		return fmt.Errorf("the certificate of %q has expired at %s", leaf.Subject.CommonName, stamp(leaf.NotAfter))
	}
	for _, use := range uses {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
			return fmt.Errorf("the certificate of %q (organisation %q): %w", leaf.Subject.CommonName, leaf.Subject.Organization, err)
		}
	}
	return nil
}

// ClientConfig configures a client that knows nothing but the certificates of an
// authority in a file: it verifies whom it talks to, name included.
func ClientConfig(caFile string) (*tls.Config, error) {
	text, err := readSmall(filepath.Dir(caFile), filepath.Base(caFile))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: there is no certificate in PEM", caFile)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}
