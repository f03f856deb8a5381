package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/tidemill/tidemill/internal/types"
)

// maxDrainBytes bounds the body of a request to drain a node.
const maxDrainBytes = 4 << 10

// cluster tells how the cluster does, as this node knows it.
func (a *API) cluster(w http.ResponseWriter, _ *http.Request) {
	if a.cfg.Status == nil {
		writeError(w, http.StatusNotFound, &types.Error{Code: types.CodeFeature, Message: "this node tells nothing of a cluster"})
		return
	}
	writeJSON(w, http.StatusOK, a.cfg.Status())
}

// drain lets a node hand over what it leads, or take part again.
func (a *API) drain(w http.ResponseWriter, r *http.Request) {
	if a.cfg.Drain == nil {
		writeError(w, http.StatusNotFound, &types.Error{Code: types.CodeFeature, Message: "this node is in no cluster"})
		return
	}
	var ask struct {
		Node string `json:"node"` // empty: this one
		Undo bool   `json:"undo"`
	}
	body, ok := readBody(w, r, maxDrainBytes)
	if !ok {
		return
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &ask); err != nil {
			writeError(w, http.StatusBadRequest, &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("which node to drain: %v", err)})
			return
		}
	}
	if err := a.cfg.Drain(r.Context(), ask.Node, !ask.Undo); err != nil {
		writeError(w, http.StatusConflict, &types.Error{Code: "55000", Message: err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]bool{"done": true})
}

// removeNode takes a node that is gone for good out of the cluster.
func (a *API) removeNode(w http.ResponseWriter, r *http.Request) {
	if a.cfg.Remove == nil {
		writeError(w, http.StatusNotFound, &types.Error{Code: types.CodeFeature, Message: "this node is in no cluster"})
		return
	}
	if err := a.cfg.Remove(r.Context(), r.PathValue("name")); err != nil {
		writeError(w, http.StatusConflict, &types.Error{Code: "55000", Message: err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]bool{"done": true})
}
