package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/tidemill/tidemill/internal/types"
)

// maxBackupBytes bounds the list of what a client has of a backup.
const maxBackupBytes = 64 << 20

// backup answers with a backup as a tar archive. One that cannot be made to its end is
// cut off, which whoever reads notices: its last file is missing.
func (a *API) backup(w http.ResponseWriter, r *http.Request) {
	if a.cfg.Backup == nil {
		writeError(w, http.StatusNotFound, &types.Error{Code: types.CodeFeature, Message: "this node cannot be backed up"})
		return
	}
	var ask struct {
		Have map[string]int64 `json:"have"`
	}
	body, ok := readBody(w, r, maxBackupBytes)
	if !ok {
		return
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &ask); err != nil {
			writeError(w, http.StatusBadRequest, &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("list of what is there already: %v", err)})
			return
		}
	}
	write, done := guarded(w, r)
	defer done()
	out := &counted{write: write}
	w.Header().Set("Content-Type", "application/x-tar")
	if err := a.cfg.Backup(r.Context(), ask.Have, out); err != nil {
		if out.n > 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Del("Content-Type")
		writeError(w, statusOf(err), asError(err))
	}
}

// counted is a writer that knows how much was written.
type counted struct {
	write func([]byte) error
	n     int64
}

func (c *counted) Write(p []byte) (int, error) {
	if err := c.write(p); err != nil {
		return 0, err
	}
	c.n += int64(len(p))
	return len(p), nil
}
