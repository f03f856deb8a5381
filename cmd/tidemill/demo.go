package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tidemill/tidemill/examples/flights"
	"github.com/tidemill/tidemill/internal/node"
)

// demoOptions are the flags of the demo.
type demoOptions struct {
	speed  float64 // seconds of event time a second; 0 as fast as possible
	once   bool
	output string
	cfg    node.Config
}

func demoCommand() *cobra.Command {
	o := demoOptions{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Replay 20,000 real flights into live views",
		Long: `Start a node in a temporary directory, create the source and the views of examples/flights, replay 20,000
US flights of 2001 in the order of their departure, and show the answers while they change.

The answers at the end are the same on every run and at every speed.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.output != "text" && o.output != "json" {
				return usageError{fmt.Errorf("-o %q: the formats are text and json", o.output)}
			}
			if o.speed < 0 {
				return usageError{fmt.Errorf("--speed %g: must not be negative", o.speed)}
			}
			return runDemo(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.Float64Var(&o.speed, "speed", 3*86400, "seconds of flights replayed a second; 0 means as fast as possible")
	f.BoolVar(&o.once, "once", false, "end with the replay and print the final answers")
	f.StringVarP(&o.output, "output", "o", "text", "text or json")
	f.StringVar(&o.cfg.PG, "pg", "127.0.0.1:0", "address of the PostgreSQL protocol; port 0 picks a free one")
	f.StringVar(&o.cfg.HTTP, "http", "127.0.0.1:0", "address of HTTP; port 0 picks a free one")
	return cmd
}

// flight is one row of the replay.
type flight struct {
	at   time.Time
	json []byte
}

// loadFlights reads the example's data as JSON records in event-time order.
func loadFlights() ([]flight, error) {
	gz, err := gzip.NewReader(bytes.NewReader(flights.Data))
	if err != nil {
		return nil, err
	}
	recs, err := csv.NewReader(gz).ReadAll()
	if err != nil {
		return nil, err
	}
	var fs []flight
	for _, r := range recs[1:] {
		at, err := time.Parse(time.DateTime, r[0])
		if err != nil {
			return nil, err
		}
		line, err := json.Marshal(map[string]any{"dep_time": r[0], "delay_min": json.Number(r[1]),
			"distance_mi": json.Number(r[2]), "origin": r[3], "destination": r[4]})
		if err != nil {
			return nil, err
		}
		fs = append(fs, flight{at, append(line, '\n')})
	}
	return fs, nil
}

// runDemo runs the demo until the replay is over (--once) or ctx ends.
func runDemo(ctx context.Context, o demoOptions, out io.Writer) (err error) {
	fs, err := loadFlights()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tidemill-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o.cfg.DataDir, o.cfg.InitSQL, o.cfg.Version, o.cfg.NATS = dir, flights.SQL, version, "127.0.0.1:0"
	n, err := node.Start(ctx, o.cfg)
	if err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		err = errors.Join(err, n.Close(stop))
	}()
	d, err := newDemo(ctx, n.Addrs(), fs, o, out)
	if err != nil {
		return err
	}
	defer d.close()
	err = d.run(ctx)
	if ctx.Err() != nil {
		return nil // Ctrl-C is the way out
	}
	return err
}

// demo replays flights into a node and shows its views.
type demo struct {
	o       demoOptions
	out     io.Writer
	pg      string // address, for the psql line
	source  string // URL of the source
	fs      []flight
	conn    *pgconn.PgConn
	screen  bool // out is a terminal
	started time.Time
	sent    int
}

func newDemo(ctx context.Context, a node.Addrs, fs []flight, o demoOptions, out io.Writer) (*demo, error) {
	conn, err := pgconn.Connect(ctx, "postgres://tidemill@"+a.PG+"/tidemill?sslmode=disable")
	if err != nil {
		return nil, err
	}
	f, isFile := out.(*os.File)
	return &demo{o: o, out: out, pg: a.PG, source: "http://" + a.HTTP + "/v1/sources/flights", fs: fs, conn: conn,
		screen: o.output == "text" && isFile && term.IsTerminal(int(f.Fd()))}, nil
}

func (d *demo) close() { _ = d.conn.Close(context.WithoutCancel(context.Background())) }

// The rhythm of the replay and of the screen.
const (
	tick         = 100 * time.Millisecond
	linesEvery   = 2 * time.Second // a line of progress where there is no terminal
	maxPostCount = 2000            // records in one request
)

// run replays everything, then shows the final answers; without --once it goes on
// serving until ctx ends.
func (d *demo) run(ctx context.Context) error {
	d.started = time.Now()
	if d.o.output == "text" {
		fmt.Fprintf(d.out, "Look for yourself:  %s\n\n", psqlLine(d.pg))
	}
	if err := d.replay(ctx); err != nil {
		return err
	}
	if _, err := d.query(ctx, "FLUSH"); err != nil {
		return err
	}
	if d.o.output == "json" {
		if err := d.finalJSON(ctx); err != nil {
			return err
		}
	} else if err := d.show(ctx, true); err != nil {
		return err
	}
	if d.o.once {
		return nil
	}
	if d.o.output == "text" {
		fmt.Fprintf(d.out, "\nThe replay is over; the node goes on until Ctrl-C.  %s\n", psqlLine(d.pg))
	}
	<-ctx.Done()
	return nil
}

// replay sends the flights at the speed asked for, and shows the views meanwhile.
func (d *demo) replay(ctx context.Context) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	lastLine := time.Now()
	for d.sent < len(d.fs) {
		for d.due() > 0 {
			if err := d.post(ctx, min(d.due(), maxPostCount)); err != nil {
				return err
			}
		}
		switch {
		case d.screen:
			if err := d.show(ctx, false); err != nil {
				return err
			}
		case d.o.output == "text" && time.Since(lastLine) >= linesEvery:
			lastLine = time.Now()
			fmt.Fprintln(d.out, d.progress())
		}
		if d.sent == len(d.fs) {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
	return nil
}

// due returns how many flights should have been sent by now and were not.
func (d *demo) due() int {
	if d.o.speed == 0 {
		return len(d.fs) - d.sent
	}
	now := d.fs[0].at.Add(time.Duration(float64(time.Since(d.started)) * d.o.speed))
	n := 0
	for d.sent+n < len(d.fs) && n < maxPostCount && !d.fs[d.sent+n].at.After(now) {
		n++
	}
	return n
}

// post sends the next n flights and waits until they are durable.
func (d *demo) post(ctx context.Context, n int) error {
	var body bytes.Buffer
	for _, f := range d.fs[d.sent : d.sent+n] {
		body.Write(f.json)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.source, &body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	_ = resp.Body.Close()
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("post %d flights to %s: %s: %s", n, d.source, resp.Status, bytes.TrimSpace(answer))
	}
	d.sent += n
	return nil
}

// psqlLine is the command that connects psql to addr.
func psqlLine(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = addr, strconv.Itoa(8432)
	}
	return fmt.Sprintf("psql -h %s -p %s -U tidemill tidemill", host, port)
}
