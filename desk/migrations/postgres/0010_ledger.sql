-- The ledger's keeping: what retention may take, legal holds, exchanges that never ended, and where checkpoints and
-- lines were handed to. Times are milliseconds since the Unix epoch.

-- The strictest class of a record's operations.
ALTER TABLE lines ADD COLUMN class TEXT;
CREATE INDEX lines_with_contents ON lines (kind, at) WHERE length(line) > 0;

-- Retention says here that it is at work, inside its own transactions and nowhere else.
CREATE TABLE retention (
    id      BIGINT NOT NULL PRIMARY KEY CONSTRAINT retention_is_one CHECK (id = 1),
    running BIGINT NOT NULL CONSTRAINT retention_running CHECK (running IN (0, 1))
);
INSERT INTO retention (id, running) VALUES (1, 0);

-- Contents may go, then; what chains and tree are made of stays.
CREATE FUNCTION let_retention_alone_empty_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT running FROM retention) IS DISTINCT FROM 1
      OR length(NEW.line) <> 0 OR NEW.person IS NOT NULL OR NEW.subject IS NOT NULL OR NEW.thread IS NOT NULL
      OR (NEW.position, NEW.chain, NEW.seq, NEW.hash, NEW.prev, NEW.received_at, NEW.at, NEW.kind)
         IS DISTINCT FROM (OLD.position, OLD.chain, OLD.seq, OLD.hash, OLD.prev, OLD.received_at, OLD.at, OLD.kind)
      OR NEW.exchange IS DISTINCT FROM OLD.exchange THEN
        RAISE EXCEPTION 'lines_are_append_only' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER lines_are_not_changed ON lines;
CREATE TRIGGER lines_are_not_changed BEFORE UPDATE ON lines FOR EACH ROW
EXECUTE FUNCTION let_retention_alone_empty_lines();
CREATE TRIGGER lines_are_not_deleted BEFORE DELETE ON lines FOR EACH ROW
EXECUTE FUNCTION refuse('lines_are_append_only');

-- What is under a hold, retention leaves alone.
CREATE TABLE holds (
    id          BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reason      TEXT   NOT NULL,
    filter      TEXT   NOT NULL,
    placed_at   BIGINT NOT NULL,
    released_at BIGINT
);
CREATE TRIGGER holds_are_only_released BEFORE UPDATE ON holds FOR EACH ROW
WHEN (OLD.released_at IS NOT NULL OR NEW.released_at IS NULL OR NEW.id IS DISTINCT FROM OLD.id
  OR NEW.reason IS DISTINCT FROM OLD.reason OR NEW.filter IS DISTINCT FROM OLD.filter
  OR NEW.placed_at IS DISTINCT FROM OLD.placed_at)
EXECUTE FUNCTION refuse('holds_are_kept');
CREATE TRIGGER holds_are_kept BEFORE DELETE ON holds FOR EACH ROW EXECUTE FUNCTION refuse('holds_are_kept');

-- Admissions that were looked at and had no outcome, and up to where all were looked at.
CREATE TABLE open_exchanges (
    exchange  TEXT   NOT NULL PRIMARY KEY,
    position  BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    marked_at BIGINT
);
CREATE TABLE progress (
    name     TEXT   NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL
);

-- The last checkpoint that each place took, and since when it takes none.
CREATE TABLE publications (
    target       TEXT   NOT NULL PRIMARY KEY,
    size         BIGINT NOT NULL,
    at           BIGINT NOT NULL,
    failed_since BIGINT,
    error        TEXT
);

-- Signatures of witnesses under checkpoints (C2SP tlog-cosignature).
CREATE TABLE cosignatures (
    size    BIGINT NOT NULL,
    witness TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    line    TEXT   NOT NULL,
    PRIMARY KEY (size, witness)
);
