// Package security is who is who: the certificate authority of a cluster and its
// nodes' certificates, tokens by which a machine joins, and what is kept of SQL
// roles' passwords.
package security

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// The files of a directory of certificates. Keys are readable by their owner alone.
const (
	CACertFile   = "ca.crt"   // certificates of the cluster's authority; several while one replaces another
	CAKeyFile    = "ca.key"   // its key; only on machines that let others join
	NodeCertFile = "node.crt" // this node's certificate
	NodeKeyFile  = "node.key" // its key
)

// NodeOrganisation is the organisation in the subject of every node's certificate. A
// certificate of the same authority without it is not a node.
const NodeOrganisation = "tidemill node"

// caOrganisation is the organisation in the subject of an authority; its common name
// is the cluster's.
const caOrganisation = "tidemill cluster"

// How long certificates and tokens live.
const (
	CALife   = 10 * 365 * 24 * time.Hour
	NodeLife = 365 * 24 * time.Hour
	// DefaultTokenLife and MaxTokenLife bound a join token.
	DefaultTokenLife = time.Hour
	MaxTokenLife     = 7 * 24 * time.Hour
	// backdate lets machines whose clocks are behind accept what was just made.
	backdate = 2 * time.Hour
)

// The bounds of what is read.
const (
	maxFileBytes = 256 << 10 // one file of certificates
	maxHosts     = 32        // names and addresses in one certificate
	maxName      = 63        // bytes of a name of a node or cluster
)

var validName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$`)

// CheckName returns an error unless name may be a node's or cluster's: letters,
// digits, and - _ . between them, at most 63 bytes.
func CheckName(what, name string) error {
	if name == "" {
		return fmt.Errorf("name of the %s is missing", what)
	}
	if len(name) > maxName || !validName.MatchString(name) {
		return fmt.Errorf("name of the %s %q: want at most %d letters, digits, and - _ . between them", what, name, maxName)
	}
	return nil
}

// splitHosts sorts hosts into names and addresses without repetition, and puts the
// node's own name and this machine first.
func splitHosts(node string, hosts []string) (names []string, addrs []net.IP, err error) {
	seen := map[string]bool{}
	for _, h := range append([]string{node, "localhost", "127.0.0.1", "::1"}, hosts...) {
		ip := net.ParseIP(h)
		if ip != nil {
			h = ip.String()
		} else if h = strings.ToLower(strings.TrimSuffix(h, ".")); !validHost(h) {
			return nil, nil, fmt.Errorf("host %q: want a name or an IP address, without a port", h)
		}
		if seen[h] {
			continue
		}
		seen[h] = true
		if ip != nil {
			addrs = append(addrs, ip)
		} else {
			names = append(names, h)
		}
	}
	if n := len(names) + len(addrs); n > maxHosts {
		return nil, nil, fmt.Errorf("%d names and addresses in one certificate: at most %d", n, maxHosts)
	}
	return names, addrs, nil
}

// validHost reports whether h can be a name in a certificate; *.domain is one.
func validHost(h string) bool {
	h = strings.TrimPrefix(h, "*.")
	return len(h) <= 253 && validName.MatchString(h)
}

// readSmall reads a file of dir.
func readSmall(dir, name string) ([]byte, error) {
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(b) > maxFileBytes {
		return nil, fmt.Errorf("%s has %d bytes: at most %d", path, len(b), maxFileBytes)
	}
	return b, nil
}

// writeFile makes or replaces a file of dir at once.
func writeFile(dir, name string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(dir, "."+name+".*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // nothing is there after the rename
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Chmod(mode)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, name))
	}
	return err
}

func exists(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, name))
	return err == nil
}
