package fabric

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	accountAlone = "TIDEMILL_ALONE"
	userAlone    = "tidemill-alone"
	// companionWait bounds how long the companion of a lone node is kept.
	companionWait = 30 * time.Second
)

// A node's consensus does not begin before it sees another server: a cluster of one would wait for ever. So a node that
// is the only member has a companion inside the process: a server without a store, a listener or a subject in common
// with anybody, that is connected on the loopback interface until the node has elected itself. It has no vote.

// isOnlyMember reports whether the node's consensus has one member.
func isOnlyMember(dir string) bool {
	state, err := os.ReadFile(filepath.Join(metaDir(dir), peersFile))
	return err == nil && len(state) >= 4 && binary.LittleEndian.Uint32(state) == 1
}

// companionOptions opens the listener for the companion.
func companionOptions(opts *server.Options, secret string) {
	opts.LeafNode.Host, opts.LeafNode.Port = "127.0.0.1", server.RANDOM_PORT
	for _, account := range opts.Accounts {
		if account.Name == accountAlone {
			opts.LeafNode.Users = []*server.User{{Username: userAlone, Password: secret, Account: account}}
		}
	}
}

// keepCompany runs the companion until this node leads itself.
func (f *Fabric) keepCompany(port int, secret string) error {
	remote := &url.URL{Scheme: "nats-leaf", Host: net.JoinHostPort("127.0.0.1", fmt.Sprint(port)), User: url.UserPassword(userAlone, secret)}
	companion, err := server.NewServer(&server.Options{
		ServerName: f.name + "-companion-" + f.nonce, DontListen: true, NoSigs: true, NoLog: true,
		LeafNode: server.LeafNodeOpts{Remotes: []*server.RemoteLeafOpts{{URLs: []*url.URL{remote}}}},
	})
	if err != nil {
		return fmt.Errorf("companion of a lone node: %w", err)
	}
	companion.Start()
	f.goRun(func() {
		ctx, cancel := context.WithTimeout(f.life, companionWait)
		defer cancel()
		f.WaitReady(ctx) // whatever comes of it, the companion goes
		companion.Shutdown()
		companion.WaitForShutdown()
	})
	return nil
}
