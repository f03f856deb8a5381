package e2e

import (
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgproto3"
)

type ctxWatcher = ctxwatch.Handler

func parseMessage(name, query string) *pgproto3.Parse {
	return &pgproto3.Parse{Name: name, Query: query}
}

func bindMessage(portal, statement string) *pgproto3.Bind {
	return &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: statement}
}

func executeMessage(portal string, maxRows uint32) *pgproto3.Execute {
	return &pgproto3.Execute{Portal: portal, MaxRows: maxRows}
}

func syncMessage() *pgproto3.Sync { return &pgproto3.Sync{} }

// messages reads up to ReadyForQuery and says in words what came.
func messages(t *testing.T, f *pgproto3.Frontend) string {
	t.Helper()
	var words []string
	rows := 0
	end := func(word string) {
		if rows > 0 {
			words = append(words, strconv.Itoa(rows)+" rows")
			rows = 0
		}
		words = append(words, word)
	}
	for {
		msg, err := f.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := msg.(type) {
		case *pgproto3.ParseComplete:
			end("parsed")
		case *pgproto3.BindComplete:
			end("bound")
		case *pgproto3.DataRow:
			rows++
		case *pgproto3.PortalSuspended:
			end("suspended")
		case *pgproto3.CommandComplete:
			end(string(m.CommandTag))
		case *pgproto3.ErrorResponse:
			end("error " + m.Code)
		case *pgproto3.ReadyForQuery:
			end("ready")
			return strings.Join(words, " ")
		}
	}
}
