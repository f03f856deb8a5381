package security

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// JoinPath is where JoinHandler is to be found on the HTTP port of a node.
const JoinPath = "/v1/cluster/join"

// The bounds of a request to join.
const (
	joinTimeout  = 30 * time.Second
	maxJoinBytes = 64 << 10 // of the request and of the answer
)

// JoinInfo is what a node that has joined needs besides the files.
type JoinInfo struct {
	Cluster string
	Routes  []string // of other nodes
}

// joinRequest asks for a certificate: by a token, or, without one, by the node's
// certificate that the connection shows, for the same name.
type joinRequest struct {
	Token string `json:"token,omitempty"`
	CSR   string `json:"csr"` // PEM
}

type joinAnswer struct {
	Cluster     string   `json:"cluster"`
	Routes      []string `json:"routes,omitempty"`
	CA          string   `json:"ca"`          // ca.crt
	Certificate string   `json:"certificate"` // node.crt
}

type joinError struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// Join gets a certificate for a node from one that has the authority's key, over TLS to
// its HTTP port addr; empty tries those in the token. The authority is known by the hash in
// the token. It writes ca.crt, node.crt and node.key into dir, which has none of them yet, or has those
// of this node in the token's cluster: then nothing is done, so that a node may be started by
// the same command line again, though the token has expired.
func Join(ctx context.Context, addr, token, node string, hosts []string, dir string) (JoinInfo, error) {
	info, err := join(ctx, addr, token, node, hosts, dir)
	if err != nil {
		return JoinInfo{}, fmt.Errorf("join cluster: %w", err)
	}
	return info, nil
}

func join(ctx context.Context, addr, token, node string, hosts []string, dir string) (JoinInfo, error) {
	t, err := ParseToken(token)
	if err != nil {
		return JoinInfo{}, err
	}
	if err := CheckName("node", node); err != nil {
		return JoinInfo{}, err
	}
	if info, done := joined(dir, t, node); done {
		return info, nil
	}
	for _, name := range []string{CACertFile, CAKeyFile, NodeCertFile, NodeKeyFile} {
		if exists(dir, name) {
			return JoinInfo{}, fmt.Errorf("%s exists already: name a new directory, or renew the certificate that is there", filepath.Join(dir, name))
		}
	}
	addrs := t.Addrs
	if addr != "" {
		addrs = []string{addr}
	}
	if len(addrs) == 0 {
		return JoinInfo{}, errors.New("no address is given, and the token has none")
	}
	conf := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection does it, by the hash in the token
		VerifyConnection:   func(s tls.ConnectionState) error { return pinned(s.PeerCertificates, t.CA, time.Now()) },
	}
	return obtain(ctx, addrs, joinRequest{Token: strings.TrimSpace(token)}, conf, t.CA, node, hosts, dir)
}

// joined reports whether dir has the certificate of this node in the token's cluster.
func joined(dir string, t *Token, node string) (JoinInfo, bool) {
	c, err := Open(dir)
	if err != nil || c.Node() != node {
		return JoinInfo{}, false
	}
	for _, ca := range c.current().cas {
		if fingerprint(ca) == t.CA {
			return JoinInfo{Cluster: t.Cluster, Routes: t.Routes}, true
		}
	}
	return JoinInfo{}, false
}

// RenewFrom has a node at addr, which has the authority's key, renew the certificate of
// dir's node for the same names. The certificate that it has, which must not have expired,
// is what it is known by.
func RenewFrom(ctx context.Context, addr, dir string) error {
	c, err := Open(dir)
	if err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	b := c.current()
	conf := c.Peer() // the authority is the identity
	conf.MinVersion = tls.VersionTLS12
	_, err = obtain(ctx, []string{addr}, joinRequest{}, conf, "", b.leaf.Subject.CommonName, hostsOf(b.leaf.DNSNames, b.leaf.IPAddresses), dir)
	if err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	return nil
}

// obtain makes a key, has it signed at the first of addrs that answers, and keeps both.
func obtain(ctx context.Context, addrs []string, req joinRequest, conf *tls.Config, pin, node string, hosts []string, dir string) (JoinInfo, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return JoinInfo{}, err
	}
	names, ips, err := splitHosts(node, hosts)
	if err != nil {
		return JoinInfo{}, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: node}, DNSNames: names, IPAddresses: ips}, key)
	if err != nil {
		return JoinInfo{}, err
	}
	req.CSR = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	var answer *joinAnswer
	var errs []error
	for _, addr := range addrs {
		if answer, err = ask(ctx, addr, req, conf); err == nil {
			break
		}
		errs = append(errs, fmt.Errorf("%s: %w", addr, err))
	}
	if answer == nil {
		return JoinInfo{}, errors.Join(errs...)
	}
	if err := answer.check(key, pin, node); err != nil {
		return JoinInfo{}, fmt.Errorf("what the node sent: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return JoinInfo{}, err
	}
	if err := writeNode(dir, key, []byte(answer.Certificate), []byte(answer.CA)); err != nil {
		return JoinInfo{}, err
	}
	return JoinInfo{Cluster: answer.Cluster, Routes: answer.Routes}, nil
}

// ask sends one request.
func ask(ctx context.Context, addr string, req joinRequest, conf *tls.Config) (*joinAnswer, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+addr+JoinPath, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	hr.Header.Set("Content-Type", "application/json")
	tr := &http.Transport{TLSClientConfig: conf, DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(hr)
	if err != nil {
		var plain tls.RecordHeaderError
		if errors.As(err, &plain) || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
			return nil, errors.New("this port does not speak TLS: name the HTTP port of a node that was started with certificates")
		}
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxJoinBytes))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		var e joinError
		if json.Unmarshal(text, &e) == nil && e.Error.Message != "" {
			return nil, fmt.Errorf("the node says: %s", e.Error.Message)
		}
		return nil, fmt.Errorf("the node says %s", res.Status)
	}
	var a joinAnswer
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	return &a, nil
}

// check makes sure that what came is a certificate of our key by the authority that we know.
func (a *joinAnswer) check(key *ecdsa.PrivateKey, pin, node string) error {
	cas, err := parseCerts([]byte(a.CA))
	if err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	certs, err := parseCerts([]byte(a.Certificate))
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	leaf := certs[0]
	if !key.PublicKey.Equal(leaf.PublicKey) || leaf.Subject.CommonName != node {
		return fmt.Errorf("the certificate is that of %q and not of what was asked for", leaf.Subject.CommonName)
	}
	if err := checkNode(leaf); err != nil {
		return err
	}
	for _, ca := range cas {
		if (pin == "" || fingerprint(ca) == pin) && leaf.CheckSignatureFrom(ca) == nil {
			return nil
		}
	}
	return errors.New("the certificate is not signed by the authority that was expected")
}

// pinned checks that a chain, the leaf first, is a node's and that of the authority
// with this hash.
func pinned(chain []*x509.Certificate, pin string, now time.Time) error {
	for _, c := range chain {
		if fingerprint(c) != pin {
			continue
		}
		pool := x509.NewCertPool()
		pool.AddCert(c)
		if err := verifyChain(pool, chain, now, x509.ExtKeyUsageServerAuth); err != nil {
			return err
		}
		return checkNode(chain[0])
	}
	return errors.New("this is not a node of the cluster that the token is for: it does not show the authority that the token names")
}
