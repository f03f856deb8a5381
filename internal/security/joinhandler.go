package security

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// maxJoinsPerMinute bounds how many requests to join a node answers.
const maxJoinsPerMinute = 60

// joiner answers requests to join.
type joiner struct {
	dir string
	now func() time.Time

	mu     sync.Mutex
	minute time.Time // when the running minute began
	count  int
}

// JoinHandler answers POST /v1/cluster/join on the node whose certificates are in dir:
// it gives certificates to who has a token, and renews that of a node that shows its own.
// The authority's key has to be in dir, else the answer says so. It must be served over TLS.
func JoinHandler(dir string) http.Handler { return &joiner{dir: dir, now: time.Now} }

// ServeHTTP implements http.Handler.
func (j *joiner) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "0A000", "want POST")
		return
	}
	if r.TLS == nil {
		refuse(w, http.StatusUpgradeRequired, "28000", "joining needs TLS")
		return
	}
	if !j.admit() {
		w.Header().Set("Retry-After", "60")
		refuse(w, http.StatusTooManyRequests, "53400", fmt.Sprintf("more than %d requests to join within a minute", maxJoinsPerMinute))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxJoinBytes))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		refuse(w, http.StatusRequestEntityTooLarge, "54000", fmt.Sprintf("the request is larger than %d bytes", maxJoinBytes))
		return
	}
	var req joinRequest
	if err == nil {
		err = json.Unmarshal(body, &req)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "08P01", "read request to join: "+err.Error())
		return
	}
	j.answer(w, r, req)
}

// answer gives what req asks for, or says why not.
func (j *joiner) answer(w http.ResponseWriter, r *http.Request, req joinRequest) {
	ca, err := loadCA(j.dir)
	if errors.Is(err, ErrNoCAKey) {
		refuse(w, http.StatusConflict, "55000", "this node cannot issue certificates, for it does not have the key of the cluster's authority: ask one that has")
		return
	}
	if err != nil {
		refuse(w, http.StatusInternalServerError, "58030", "the cluster's authority: "+err.Error())
		return
	}
	csr, err := parseCSR(req.CSR)
	if err != nil {
		refuse(w, http.StatusBadRequest, "22023", "request for a certificate: "+err.Error())
		return
	}
	t := &Token{}
	if req.Token != "" {
		t, err = ca.check(req.Token, j.now())
	} else {
		err = mayRenew(ca, r, csr.Subject.CommonName, j.now())
	}
	if err != nil {
		refuse(w, http.StatusForbidden, "28000", err.Error())
		return
	}
	cert, err := ca.sign(csr.Subject.CommonName, hostsOf(csr.DNSNames, csr.IPAddresses), csr.PublicKey)
	if err != nil {
		refuse(w, http.StatusBadRequest, "22023", err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(joinAnswer{Cluster: ca.cert.Subject.CommonName, Routes: t.Routes, CA: string(ca.pem), Certificate: string(cert)})
}

// mayRenew checks that the connection shows the certificate of the node that asks.
func mayRenew(ca *authority, r *http.Request, node string, now time.Time) error {
	if len(r.TLS.PeerCertificates) == 0 {
		return errors.New("there is neither a join token nor a node's certificate")
	}
	cas, err := parseCerts(ca.pem)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	for _, c := range cas {
		pool.AddCert(c)
	}
	leaf := r.TLS.PeerCertificates[0]
	if err := verifyChain(pool, r.TLS.PeerCertificates, now, x509.ExtKeyUsageClientAuth); err != nil {
		return err
	}
	if err := checkNode(leaf); err != nil {
		return err
	}
	if leaf.Subject.CommonName != node {
		return fmt.Errorf("node %q asks for a certificate of %q: a node renews its own only", leaf.Subject.CommonName, node)
	}
	return nil
}

func parseCSR(text string) (*x509.CertificateRequest, error) {
	b, _ := pem.Decode([]byte(text))
	if b == nil || b.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("there is none in PEM")
	}
	csr, err := x509.ParseCertificateRequest(b.Bytes)
	if err != nil {
		return nil, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, err
	}
	if _, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok {
		return nil, fmt.Errorf("a key of type %T: want one on an elliptic curve", csr.PublicKey)
	}
	return csr, nil
}

// admit counts a request, and reports whether it is within the limit.
func (j *joiner) admit() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if now := j.now(); now.Sub(j.minute) >= time.Minute || now.Before(j.minute) {
		j.minute, j.count = now, 0
	}
	j.count++
	return j.count <= maxJoinsPerMinute
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	var e joinError
	e.Error.Code, e.Error.Message = code, message
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(e)
}
