-- The ledger's keeping: what retention may take, legal holds, exchanges that never ended, and where checkpoints and
-- lines were handed to. Times are milliseconds since the Unix epoch.

-- The strictest class of a record's operations.
ALTER TABLE lines ADD COLUMN class TEXT;
CREATE INDEX lines_with_contents ON lines (kind, at) WHERE length(line) > 0;

-- Retention says here that it is at work, inside its own transactions and nowhere else.
CREATE TABLE retention (
    id      INTEGER NOT NULL PRIMARY KEY CONSTRAINT retention_is_one CHECK (id = 1),
    running INTEGER NOT NULL CONSTRAINT retention_running CHECK (running IN (0, 1))
) STRICT;
INSERT INTO retention (id, running) VALUES (1, 0);

-- Contents may go, then; what chains and tree are made of stays.
DROP TRIGGER lines_are_not_changed;
CREATE TRIGGER lines_are_not_changed BEFORE UPDATE ON lines
WHEN (SELECT running FROM retention) IS NOT 1
  OR length(NEW.line) <> 0 OR NEW.person IS NOT NULL OR NEW.subject IS NOT NULL OR NEW.thread IS NOT NULL
  OR NEW.position IS NOT OLD.position OR NEW.chain IS NOT OLD.chain OR NEW.seq IS NOT OLD.seq
  OR NEW.hash IS NOT OLD.hash OR NEW.prev IS NOT OLD.prev OR NEW.received_at IS NOT OLD.received_at
  OR NEW.at IS NOT OLD.at OR NEW.kind IS NOT OLD.kind OR NEW.exchange IS NOT OLD.exchange
BEGIN SELECT RAISE(ABORT, 'lines_are_append_only'); END;

-- What is under a hold, retention leaves alone.
CREATE TABLE holds (
    id          INTEGER NOT NULL PRIMARY KEY,
    reason      TEXT    NOT NULL,
    filter      TEXT    NOT NULL,
    placed_at   INTEGER NOT NULL,
    released_at INTEGER
) STRICT;
CREATE TRIGGER holds_are_only_released BEFORE UPDATE ON holds
WHEN OLD.released_at IS NOT NULL OR NEW.released_at IS NULL OR NEW.id IS NOT OLD.id OR NEW.reason IS NOT OLD.reason
  OR NEW.filter IS NOT OLD.filter OR NEW.placed_at IS NOT OLD.placed_at
BEGIN SELECT RAISE(ABORT, 'holds_are_kept'); END;
CREATE TRIGGER holds_are_kept BEFORE DELETE ON holds
BEGIN SELECT RAISE(ABORT, 'holds_are_kept'); END;

-- Admissions that were looked at and had no outcome, and up to where all were looked at.
CREATE TABLE open_exchanges (
    exchange  TEXT    NOT NULL PRIMARY KEY,
    position  INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    marked_at INTEGER
) STRICT;
CREATE TABLE progress (
    name     TEXT    NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT;

-- The last checkpoint that each place took, and since when it takes none.
CREATE TABLE publications (
    target       TEXT    NOT NULL PRIMARY KEY,
    size         INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    failed_since INTEGER,
    error        TEXT
) STRICT;

-- Signatures of witnesses under checkpoints (C2SP tlog-cosignature).
CREATE TABLE cosignatures (
    size    INTEGER NOT NULL,
    witness TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    line    TEXT    NOT NULL,
    PRIMARY KEY (size, witness)
) STRICT;
