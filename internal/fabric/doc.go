// Package fabric is the only importer of NATS. It embeds one nats-server with JetStream on disk and offers what the
// rest of Tidemill needs of it, in types of its own:
//
//   - Fabric: the embedded server, its data directory, its listener for clients;
//   - Log: a named, durable sequence of records with fenced atomic appends and contiguous reads;
//   - Lease: who should try, for liveness only (a fenced append alone decides);
//   - blobs: large objects verified by SHA-256;
//   - Cluster: servers of several nodes joined by routes, logs, leases and blobs with replicas, who is there and who leads;
//   - Serve, Request, Broadcast, Listen: requests and messages between nodes;
//   - messages: core publish and subscribe, and access to streams that clients own.
//
// There are two accounts. The internal one holds Tidemill's logs, leases and blobs and is reachable only through this
// package. The client account is what the listener offers: any NATS client may use core NATS, JetStream, KV and objects
// there, and can neither see nor touch the internal one.
//
// In a cluster a copy of a log that lacks records is never read past: what is missing comes from another copy, and the
// damaged one is made anew (repair.go).
//
// Every acknowledged write has been synced to disk, in a cluster to those of a quorum: SyncAlways is set in code and
// there is no way to switch it off.
package fabric
