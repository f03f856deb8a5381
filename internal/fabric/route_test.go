package fabric

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// authority signs certificates of nodes.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	next int64
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool(), next: 1}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) issue(t *testing.T, node string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.next++
	template := &x509.Certificate{SerialNumber: big.NewInt(a.next), Subject: pkix.Name{CommonName: node}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// peer is what a node uses for routes: the certificate of the moment, and the authority as the only identity.
func (a *authority) peer(cert *atomic.Pointer[tls.Certificate]) *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.Load(), nil },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert.Load(), nil },
		ClientAuth:           tls.RequireAnyClientCert, InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: a.pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
			return err
		},
	}
}

// Routes with mutual TLS: nodes of one authority are one cluster, one of another is not let in, and one whose
// certificate was renewed while it ran connects with the new one.
func TestRoutesWithTLS(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	c := newCluster(t, 3)
	certs := make([]atomic.Pointer[tls.Certificate], 3)
	var seen atomic.Int64 // serial of the certificate that node b was last shown
	c.change = func(i int, cfg *Config) {
		a := ours
		if i == 2 {
			a = theirs
		}
		certs[i].Store(a.issue(t, nodeName(i)))
		cfg.Cluster.TLS = a.peer(&certs[i])
		if i == 1 {
			verify := cfg.Cluster.TLS.VerifyConnection
			cfg.Cluster.TLS.VerifyConnection = func(s tls.ConnectionState) error {
				err := verify(s)
				if err == nil {
					seen.Store(s.PeerCertificates[0].SerialNumber.Int64())
				}
				return err
			}
		}
		cfg.Cluster.Routes = c.routes[:2]
		if i == 2 {
			cfg.Cluster.Join = true
		}
	}
	c.start(0)
	c.start(1)
	c.ready()
	log := c.log(0, "l")
	waitCurrent(t, log, 2)
	appendAll(t, log, 0, 10)
	c.start(2)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := c.nodes[2].WaitReady(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no leader") {
		t.Errorf("a node of another authority: %v", err)
	}
	if n := c.nodes[0].online(); n != 2 {
		t.Errorf("%d nodes online", n)
	}
	// The certificate of a is renewed; a's connections with b are made anew.
	renewed := ours.issue(t, "a")
	leaf, err := x509.ParseCertificate(renewed.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	certs[0].Store(renewed)
	if err := c.nodes[0].server().ShutdownJetStream(); err != nil { // its server is started again
		t.Fatal(err)
	}
	waitFor(t, "b is shown the new certificate", func() bool { return seen.Load() == leaf.SerialNumber.Int64() })
	waitFor(t, "the store is open", func() bool { return c.nodes[0].Room() == nil })
	appendAll(t, log, 10, 20)
	checkNumbers(t, c.log(1, "l"), 20)
}

// Clients that use TLS are served, those that do not are refused; our own connections need none.
func TestClientsWithTLS(t *testing.T) {
	a := newAuthority(t, "ours")
	var cert atomic.Pointer[tls.Certificate]
	cert.Store(a.issue(t, "node"))
	f := startIn(t, t.TempDir(), func(cfg *Config) {
		cfg.Listen, cfg.User, cfg.Password = "127.0.0.1:0", "u", "p"
		cfg.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.Load(), nil }}
	})
	mustAppend(t, openLog(t, f, "l"), 0, "a")
	verify := a.peer(&cert).VerifyConnection
	secure := nats.Secure(&tls.Config{InsecureSkipVerify: true, VerifyConnection: verify})
	conn, err := nats.Connect("nats://u:p@"+f.Addr().String(), secure)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.TLSConnectionState(); err != nil {
		t.Errorf("no TLS: %v", err)
	}
	raw, err := net.Dial("tcp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Write([]byte("CONNECT {\"user\":\"u\",\"pass\":\"p\",\"verbose\":true}\r\nPING\r\n")); err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(raw) // until the server gives up
	if strings.Contains(string(text), "PONG") || strings.Contains(string(text), "+OK") {
		t.Errorf("plain text was served: %q", text)
	}
}

// Nodes that join believe in no quorum of their own: without the cluster that they want to join they wait.
func TestJoinersFormNoCluster(t *testing.T) {
	c := newCluster(t, 3)
	c.change = func(i int, cfg *Config) { cfg.Cluster.Join = i > 0 }
	c.start(1)
	c.start(2)
	waitFor(t, "they see each other", func() bool {
		return c.nodes[1].connected()["c"] && c.nodes[2].connected()["b"]
	})
	for _, i := range []int{1, 2} {
		// An election takes up to 9 seconds; what it needs can be seen at once.
		if meta := c.nodes[i].meta(); meta == nil || meta.QuorumNeeded < neverAlone/2 || meta.Leader != "" {
			t.Errorf("node %d: %+v", i, meta)
		}
	}
	// One that may found a cluster does so with their votes, as with those of any other new node.
	c.start(0)
	c.ready()
}

func TestClusterConfig(t *testing.T) {
	good := func() Config {
		return Config{Dir: t.TempDir(), Name: "a", Cluster: &Cluster{Name: "test", Listen: "127.0.0.1:0"}}
	}
	for name, change := range map[string]func(*Config){
		"no name":               func(c *Config) { c.Name = "" },
		"name with a dot":       func(c *Config) { c.Name = "a.b" },
		"no cluster name":       func(c *Config) { c.Cluster.Name = "" },
		"no listen":             func(c *Config) { c.Cluster.Listen = "" },
		"plaintext listen":      func(c *Config) { c.Cluster.Listen = "0.0.0.0:0" },
		"plaintext route":       func(c *Config) { c.Cluster.Routes = []string{"192.0.2.1:1"} },
		"plaintext advertise":   func(c *Config) { c.Cluster.Advertise = "192.0.2.1:1" },
		"route without a port":  func(c *Config) { c.Cluster.Routes = []string{"127.0.0.1"} },
		"too many routes":       func(c *Config) { c.Cluster.Routes = make([]string, MaxRoutes+1) },
		"nothing to join":       func(c *Config) { c.Cluster.Join = true },
		"a port that is in use": func(c *Config) { c.Cluster.Listen = taken(t) },
		"data of a lone node": func(c *Config) {
			os.MkdirAll(filepath.Join(c.Dir, "jetstream", accountInternal, "streams", "TM_l"), 0o755)
		},
	} {
		cfg := good()
		change(&cfg)
		f, err := Start(context.Background(), cfg)
		if err == nil {
			f.Close(context.Background())
			t.Errorf("%s: started", name)
		}
	}
	// A directory stays what it was made: that of one node of one cluster.
	cfg := good()
	f, err := Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.Close(context.Background())
	for name, change := range map[string]func(*Config){
		"alone":           func(c *Config) { c.Cluster = nil },
		"another cluster": func(c *Config) { c.Cluster.Name = "other" },
		"another node":    func(c *Config) { c.Name = "b" },
	} {
		again := good()
		again.Dir = cfg.Dir
		change(&again)
		if f, err := Start(context.Background(), again); err == nil {
			f.Close(context.Background())
			t.Errorf("started as %s", name)
		}
	}
	f, err = Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.Close(context.Background())
}

// taken returns an address that is in use until the test ends.
func taken(t *testing.T) string {
	f := startIn(t, t.TempDir(), func(cfg *Config) { cfg.Listen = "127.0.0.1:0" })
	return f.Addr().String()
}
