package sql

import (
	"fmt"
	"strconv"
	"strings"
)

// stmt writes a statement. The kinds are split by area to keep each function readable.
func (f *printer) stmt(s Stmt) {
	switch s := s.(type) {
	case *Query:
		f.query(s)
	case *Insert:
		f.insert(s)
	case *Update:
		f.update(s)
	case *Delete:
		f.delete(s)
	case *Truncate:
		f.w("TRUNCATE ")
		each(f, s.Tables, f.tableRef)
		f.opt(s.RestartIdentity, " RESTART IDENTITY")
		f.behavior(s.Behavior)
	case *Copy:
		f.copy(s)
	case *Subscribe:
		f.subscribe(s)
	case *Explain:
		f.explain(s)
	case *Show:
		f.show(s)
	default:
		if !f.ddl(s) && !f.session(s) {
			panic(fmt.Sprintf("sql: Format of %T", s))
		}
	}
}

func (f *printer) behavior(b Behavior) {
	f.w([...]string{BehaviorDefault: "", Cascade: " CASCADE", Restrict: " RESTRICT"}[b])
}

func (f *printer) insert(s *Insert) {
	if s.With != nil {
		f.with(s.With)
	}
	f.w("INSERT INTO ")
	f.name(s.Table)
	if s.Alias.Text != "" {
		f.w(" AS ")
		f.ident(s.Alias)
	}
	if s.Columns != nil {
		f.w(" ")
		group(f, s.Columns, f.target)
	}
	if s.Overriding != "" {
		f.w(" OVERRIDING ", strings.ToUpper(s.Overriding), " VALUE")
	}
	if s.Source == nil {
		f.w(" DEFAULT VALUES")
	} else {
		f.w(" ")
		f.query(s.Source)
	}
	if c := s.OnConflict; c != nil {
		f.onConflict(c)
	}
	f.returning(s.Returning)
}

func (f *printer) onConflict(c *OnConflict) {
	f.w(" ON CONFLICT")
	if c.Columns != nil {
		f.w(" ")
		group(f, c.Columns, f.indexElem)
		f.where(c.Where)
	}
	if c.Constraint.Text != "" {
		f.w(" ON CONSTRAINT ")
		f.ident(c.Constraint)
	}
	if !c.Update {
		f.w(" DO NOTHING")
		return
	}
	f.w(" DO UPDATE SET ")
	each(f, c.Set, f.setClause)
	f.where(c.SetWhere)
}

func (f *printer) target(t Target) {
	f.ident(t.Column)
	for _, x := range t.Path {
		switch x := x.(type) {
		case *FieldExpr:
			f.w(".")
			f.ident(x.Field)
		case *IndexExpr:
			f.subscript(x)
		}
	}
}

func (f *printer) setClause(s SetClause) {
	if s.Multi {
		group(f, s.Targets, f.target)
	} else {
		f.target(s.Targets[0])
	}
	f.w(" = ")
	f.expr(s.Value)
}

func (f *printer) returning(items []SelectItem) {
	if items != nil {
		f.w(" RETURNING ")
		f.items(items)
	}
}

func (f *printer) update(s *Update) {
	if s.With != nil {
		f.with(s.With)
	}
	f.w("UPDATE ")
	f.tableRef(s.Table)
	f.w(" SET ")
	each(f, s.Set, f.setClause)
	f.from(" FROM ", s.From)
	f.where(s.Where)
	f.returning(s.Returning)
}

func (f *printer) delete(s *Delete) {
	if s.With != nil {
		f.with(s.With)
	}
	f.w("DELETE FROM ")
	f.tableRef(s.Table)
	f.from(" USING ", s.Using)
	f.where(s.Where)
	f.returning(s.Returning)
}

func (f *printer) copy(s *Copy) {
	f.w("COPY ")
	if s.Stmt != nil {
		f.w("(")
		f.stmt(s.Stmt)
		f.w(")")
	} else {
		f.name(s.Table)
		f.columns(s.Columns)
	}
	std := "STDOUT"
	if s.From {
		f.w(" FROM ")
		std = "STDIN"
	} else {
		f.w(" TO ")
	}
	f.opt(s.Program, "PROGRAM ")
	if s.Stdio {
		f.w(std)
	} else {
		f.str(s.File)
	}
	if s.Options != nil {
		f.w(" WITH ")
		group(f, s.Options, f.wordOption)
	}
	f.where(s.Where)
}

// wordOption writes name value.
func (f *printer) wordOption(o Option) {
	f.option(o, " ")
}

// equalsOption writes name = value.
func (f *printer) equalsOption(o Option) { f.option(o, " = ") }

func (f *printer) option(o Option, sep string) {
	f.word(o.Name, o.Quoted)
	if o.Value != nil {
		f.w(sep)
		f.optionValue(o.Value)
	}
}

func (f *printer) optionValue(x Expr) {
	if r, ok := x.(*RowExpr); ok {
		group(f, r.Elems, f.optionValue)
		return
	}
	f.expr(x)
}

// withOptions writes " WITH (options)" if there are any.
func (f *printer) withOptions(opts []Option) {
	if opts != nil {
		f.w(" WITH ")
		group(f, opts, f.equalsOption)
	}
}

func (f *printer) subscribe(s *Subscribe) {
	f.w("SUBSCRIBE TO ")
	if s.Query != nil {
		f.subquery(s.Query)
	} else {
		f.name(s.Name)
	}
	if s.Envelope != "" {
		f.w(" ENVELOPE ", strings.ToUpper(s.Envelope), " (KEY ")
		group(f, s.Key, f.ident)
		f.w(")")
	}
	f.withOptions(s.Options)
	if s.AsOf != nil {
		f.w(" AS OF ")
		f.expr(s.AsOf)
	}
	if s.UpTo != nil {
		f.w(" UP TO ")
		f.expr(s.UpTo)
	}
}

func (f *printer) explain(s *Explain) {
	f.w("EXPLAIN ")
	if s.Options != nil {
		group(f, s.Options, f.wordOption)
		f.w(" ")
	} else {
		f.opt(s.Analyze, "ANALYZE ")
		f.opt(s.Verbose, "VERBOSE ")
	}
	if s.Stmt != nil {
		f.stmt(s.Stmt)
		return
	}
	f.w(strings.ToUpper(s.ViewKind), " ")
	f.name(s.ViewName)
}

func (f *printer) show(s *Show) {
	f.w("SHOW ")
	switch {
	case s.What == "":
		f.word(s.Name, false)
	case s.What == "columns":
		f.w("COLUMNS FROM ")
		f.name(s.From)
	case strings.HasPrefix(s.What, "create "):
		f.w(strings.ToUpper(s.What), " ")
		f.name(s.From)
	default:
		f.w(strings.ToUpper(s.What))
		if !s.From.IsZero() {
			f.w(" FROM ")
			f.name(s.From)
		}
	}
	if s.Like != nil {
		f.w(" LIKE ")
		f.str(s.Like.Value)
	}
}

// session writes the statements about transactions, parameters and cursors; false if s is none.
func (f *printer) session(s Stmt) bool {
	switch s := s.(type) {
	case *Set:
		f.set(s)
	case *SetTransaction:
		f.w("SET ")
		f.opt(s.Local, "LOCAL ")
		f.opt(s.Session, "SESSION CHARACTERISTICS AS ")
		f.w("TRANSACTION")
		if s.Snapshot != "" {
			f.w(" SNAPSHOT ", QuoteString(s.Snapshot))
		}
		f.txModes(s.Modes)
	case *SetConstraints:
		f.w("SET CONSTRAINTS ")
		f.opt(s.All, "ALL")
		each(f, s.Names, f.name)
		if s.Deferred {
			f.w(" DEFERRED")
		} else {
			f.w(" IMMEDIATE")
		}
	case *Begin:
		if s.Start {
			f.w("START TRANSACTION")
		} else {
			f.w("BEGIN")
		}
		f.txModes(s.Modes)
	case *Commit:
		f.w("COMMIT")
		f.opt(s.Prepared != "", " PREPARED "+QuoteString(s.Prepared))
		f.chainWords(s.Chain, s.NoChain)
	case *Rollback:
		f.w("ROLLBACK")
		f.opt(s.Prepared != "", " PREPARED "+QuoteString(s.Prepared))
		if s.Savepoint.Text != "" {
			f.w(" TO SAVEPOINT ")
			f.ident(s.Savepoint)
		}
		f.chainWords(s.Chain, s.NoChain)
	case *PrepareTransaction:
		f.w("PREPARE TRANSACTION ", QuoteString(s.ID))
	case *Savepoint:
		f.named("SAVEPOINT ", s.Name, false)
	case *Release:
		f.named("RELEASE SAVEPOINT ", s.Name, false)
	case *DeclareCursor:
		f.declare(s)
	case *Fetch:
		f.fetch(s)
	case *CloseCursor:
		f.named("CLOSE ", s.Name, s.All)
	case *Deallocate:
		f.named("DEALLOCATE ", s.Name, s.All)
	case *Listen:
		f.named("LISTEN ", s.Channel, false)
	case *Unlisten:
		if s.All {
			f.w("UNLISTEN *")
		} else {
			f.named("UNLISTEN ", s.Channel, false)
		}
	case *Notify:
		f.named("NOTIFY ", s.Channel, false)
		f.opt(s.HasPayload, ", "+QuoteString(s.Payload))
	case *Prepare:
		f.named("PREPARE ", s.Name, false)
		if s.Types != nil {
			f.w(" ")
			group(f, s.Types, f.typeName)
		}
		f.w(" AS ")
		f.stmt(s.Stmt)
	case *Execute:
		f.named("EXECUTE ", s.Name, false)
		if s.Args != nil {
			group(f, s.Args, f.expr)
		}
	case *Flush:
		f.w("FLUSH")
	case *Checkpoint:
		f.w("CHECKPOINT")
	case *Discard:
		f.w("DISCARD ", strings.ToUpper(s.What))
	case *Call:
		f.w("CALL ")
		f.funcCall(s.Func)
	default:
		return f.upkeep(s)
	}
	return true
}

// upkeep writes LOCK, VACUUM, ANALYZE and REFRESH; false if s is none.
func (f *printer) upkeep(s Stmt) bool {
	switch s := s.(type) {
	case *LockTable:
		f.w("LOCK TABLE ")
		each(f, s.Tables, f.tableRef)
		f.opt(s.Mode != "", " IN "+strings.ToUpper(s.Mode)+" MODE")
		f.opt(s.NoWait, " NOWAIT")
	case *Maintenance:
		if s.Vacuum {
			f.w("VACUUM")
		} else {
			f.w("ANALYZE")
		}
		if s.Options != nil {
			f.w(" ")
			group(f, s.Options, f.wordOption)
		}
		f.opt(s.Tables != nil, " ")
		each(f, s.Tables, func(t MaintenanceTable) {
			f.name(t.Table)
			f.columns(t.Columns)
		})
	case *RefreshMatView:
		f.w("REFRESH MATERIALIZED VIEW ")
		f.opt(s.Concurrently, "CONCURRENTLY ")
		f.name(s.Name)
		f.opt(s.NoData, " WITH NO DATA")
	default:
		return false
	}
	return true
}

func (f *printer) named(words string, id Ident, all bool) {
	f.w(words)
	if all {
		f.w("ALL")
	} else {
		f.ident(id)
	}
}

func (f *printer) set(s *Set) {
	if s.Reset {
		f.w("RESET ")
		f.word(s.Name, false)
		return
	}
	f.w("SET ", [...]string{ScopeDefault: "", ScopeSession: "SESSION ", ScopeLocal: "LOCAL "}[s.Scope])
	if len(s.Values) == 1 {
		if t, ok := s.Values[0].(*TypedLit); ok {
			f.w("TIME ZONE ")
			f.typedLit(t)
			return
		}
	}
	f.word(s.Name, false)
	switch {
	case s.FromCurrent:
		f.w(" FROM CURRENT")
	case s.Default:
		f.w(" TO DEFAULT")
	default:
		f.w(" TO ")
		each(f, s.Values, f.expr)
	}
}

func (f *printer) txModes(m TxModes) {
	sep := " "
	mode := func(cond bool, s string) {
		if cond {
			f.w(sep, s)
			sep = ", "
		}
	}
	mode(m.Isolation != "", "ISOLATION LEVEL "+strings.ToUpper(m.Isolation))
	mode(m.ReadOnly == Yes, "READ ONLY")
	mode(m.ReadOnly == No, "READ WRITE")
	mode(m.Deferrable == Yes, "DEFERRABLE")
	mode(m.Deferrable == No, "NOT DEFERRABLE")
}

func (f *printer) chainWords(chain, noChain bool) {
	f.opt(chain, " AND CHAIN")
	f.opt(noChain, " AND NO CHAIN")
}

func (f *printer) declare(s *DeclareCursor) {
	f.named("DECLARE ", s.Name, false)
	f.opt(s.Binary, " BINARY")
	f.opt(s.Sensitive != "", " "+strings.ToUpper(s.Sensitive))
	f.w([...]string{Unset: "", Yes: " SCROLL", No: " NO SCROLL"}[s.Scroll], " CURSOR")
	f.w([...]string{Unset: "", Yes: " WITH HOLD", No: " WITHOUT HOLD"}[s.Hold], " FOR ")
	f.stmt(s.Stmt)
}

func (f *printer) fetch(s *Fetch) {
	if s.Move {
		f.w("MOVE ")
	} else {
		f.w("FETCH ")
	}
	f.w([...]string{FetchForward: "FORWARD ", FetchBackward: "BACKWARD ", FetchAbsolute: "ABSOLUTE ", FetchRelative: "RELATIVE "}[s.Dir])
	if s.All {
		f.w("ALL")
	} else {
		f.w(strconv.FormatInt(s.Count, 10))
	}
	f.w(" FROM ")
	f.ident(s.Cursor)
	f.withOptions(s.Options)
}
