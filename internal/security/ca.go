package security

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// ErrNoCAKey says that a directory has no key of the cluster's authority, so nothing
// can be issued from it.
var ErrNoCAKey = errors.New("the key of the cluster's authority is not here")

// authority is what can issue certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte // ca.crt as it is, which may hold more than cert
}

// CreateCA makes the certificate authority of a cluster in dir, which is created if
// need be. What is there already is never replaced: that is an error.
func CreateCA(dir, cluster string) error {
	if err := CheckName("cluster", cluster); err != nil {
		return fmt.Errorf("create authority: %w", err)
	}
	for _, name := range []string{CACertFile, CAKeyFile} {
		if exists(dir, name) {
			return fmt.Errorf("create authority: %s exists already", filepath.Join(dir, name))
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("create authority: %w", err)
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: cluster, Organization: []string{caOrganisation}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(CALife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("create authority: %w", err)
	}
	if err := writeKey(dir, CAKeyFile, key); err != nil {
		return fmt.Errorf("create authority: %w", err)
	}
	if err := writeFile(dir, CACertFile, certPEM(der), 0o644); err != nil {
		return fmt.Errorf("create authority: %w", err)
	}
	return nil
}

// Issue makes a key and certificate of a node in dir, which has the authority's
// key, and replaces those that are there. It is good for the node's name, for this
// machine, and for hosts: names and IP addresses.
func Issue(dir, node string, hosts []string) error { return IssueTo(dir, dir, node, hosts) }

// IssueTo is Issue into another directory, which gets the authority's certificate too:
// all that is to be copied to the node's machine.
func IssueTo(caDir, dir, node string, hosts []string) error {
	ca, err := loadCA(caDir)
	if err != nil {
		return fmt.Errorf("issue certificate: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("issue certificate: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("issue certificate: %w", err)
	}
	cert, err := ca.sign(node, hosts, &key.PublicKey)
	if err != nil {
		return fmt.Errorf("issue certificate: %w", err)
	}
	if err := writeNode(dir, key, cert, ca.pem); err != nil {
		return fmt.Errorf("issue certificate: %w", err)
	}
	return nil
}

// sign returns the certificate of a node in PEM.
func (a *authority) sign(node string, hosts []string, pub crypto.PublicKey) ([]byte, error) {
	if err := CheckName("node", node); err != nil {
		return nil, err
	}
	names, addrs, err := splitHosts(node, hosts)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	end := now.Add(NodeLife)
	if a.cert.NotAfter.Before(end) {
		end = a.cert.NotAfter
	}
	if !now.Before(end) {
		return nil, fmt.Errorf("the certificate of the authority %q has expired at %s", a.cert.Subject.CommonName, stamp(a.cert.NotAfter))
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: node, Organization: []string{NodeOrganisation}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              end,
		DNSNames:              names,
		IPAddresses:           addrs,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}, a.cert, pub, a.key)
	if err != nil {
		return nil, err
	}
	return certPEM(der), nil
}

// loadCA reads the authority of dir with its key. Of several certificates it is the one
// of the key.
func loadCA(dir string) (*authority, error) {
	text, err := readSmall(dir, CAKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no %s", ErrNoCAKey, filepath.Join(dir, CAKeyFile))
	}
	if err != nil {
		return nil, err
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, CAKeyFile), err)
	}
	text, err = readSmall(dir, CACertFile)
	if err != nil {
		return nil, err
	}
	certs, err := parseCerts(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, CACertFile), err)
	}
	for _, c := range certs {
		if key.PublicKey.Equal(c.PublicKey) {
			return &authority{cert: c, key: key, pem: text}, nil
		}
	}
	return nil, fmt.Errorf("%s has no certificate of the key in %s", filepath.Join(dir, CACertFile), CAKeyFile)
}

// writeNode keeps what a node needs: the key first, then its certificate, so that who
// watches sees two that do not match for no longer than it takes.
func writeNode(dir string, key *ecdsa.PrivateKey, cert, ca []byte) error {
	if old, err := readSmall(dir, CACertFile); err != nil || !bytes.Equal(old, ca) {
		if err := writeFile(dir, CACertFile, ca, 0o644); err != nil {
			return err
		}
	}
	if err := writeKey(dir, NodeKeyFile, key); err != nil {
		return err
	}
	return writeFile(dir, NodeCertFile, cert, 0o644)
}

func writeKey(dir, name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writeFile(dir, name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// parseKey reads a private key on a curve.
func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	b, _ := pem.Decode(text)
	if b == nil {
		return nil, errors.New("there is no key in PEM")
	}
	if b.Type == "EC PRIVATE KEY" {
		return x509.ParseECPrivateKey(b.Bytes)
	}
	k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T: want one on an elliptic curve", k)
	}
	return key, nil
}

// parseCerts reads all certificates of a file; there is at least one.
func parseCerts(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errors.New("there is no certificate in PEM")
	}
	return out, nil
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// serial returns a random positive number of 127 bits.
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b)
}

// fingerprint is the SHA-256 of a certificate.
func fingerprint(c *x509.Certificate) string {
	h := sha256.Sum256(c.Raw)
	return hex.EncodeToString(h[:])
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// Shown is what one certificate says.
type Shown struct {
	File        string
	Subject     string // common name: of the cluster or of the node
	Node        bool   // a node's, else an authority's
	Hosts       []string
	From, Until time.Time
	SHA256      string // hexadecimal
}

// Show returns what the certificates of dir say, the authority's first.
func Show(dir string) ([]Shown, error) {
	var out []Shown
	for _, name := range []string{CACertFile, NodeCertFile} {
		text, err := readSmall(dir, name)
		if errors.Is(err, fs.ErrNotExist) && name == NodeCertFile {
			continue
		}
		if err != nil {
			return nil, err
		}
		certs, err := parseCerts(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
		}
		for _, c := range certs {
			out = append(out, Shown{File: name, Subject: c.Subject.CommonName, Node: slices.Contains(c.Subject.Organization, NodeOrganisation),
				Hosts: hostsOf(c.DNSNames, c.IPAddresses), From: c.NotBefore, Until: c.NotAfter, SHA256: fingerprint(c)})
		}
	}
	return out, nil
}

// CanIssue reports whether dir has an authority's key.
func CanIssue(dir string) bool { return exists(dir, CAKeyFile) }

func hostsOf(names []string, addrs []net.IP) []string {
	out := slices.Clone(names)
	for _, ip := range addrs {
		out = append(out, ip.String())
	}
	return out
}

// nodeOf reads the certificate of the node in dir.
func nodeOf(dir string) (*x509.Certificate, error) {
	text, err := readSmall(dir, NodeCertFile)
	if err != nil {
		return nil, err
	}
	certs, err := parseCerts(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, NodeCertFile), err)
	}
	return certs[0], nil
}

// Renew issues the certificate of dir's node again for the same names, with a new key;
// dir has the authority's key. RenewFrom is for nodes that have not.
func Renew(dir string) error {
	old, err := nodeOf(dir)
	if err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	return Issue(dir, old.Subject.CommonName, hostsOf(old.DNSNames, old.IPAddresses))
}
