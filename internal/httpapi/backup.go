package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/tidemill/tidemill/internal/types"
)

const (
	// maxBackupBytes bounds the list of what a client has of a backup.
	maxBackupBytes = 64 << 20
	// backupStall bounds how long a client may take to read a piece of a backup.
	backupStall = time.Minute
)

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
	out := &stalling{w: w, c: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "application/x-tar")
	if err := a.cfg.Backup(r.Context(), ask.Have, out); err != nil {
		if out.n > 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Del("Content-Type")
		writeError(w, statusOf(err), asError(err))
	}
}

// stalling is a writer to a client who reads on, or is given up.
type stalling struct {
	w io.Writer
	c *http.ResponseController
	n int64
}

func (s *stalling) Write(p []byte) (int, error) {
	if err := s.c.SetWriteDeadline(time.Now().Add(backupStall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := s.w.Write(p)
	s.n += int64(n)
	return n, err
}
