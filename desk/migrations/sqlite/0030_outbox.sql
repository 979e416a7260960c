-- The outbox: what people are told by webhook, Slack and e-mail. Times are milliseconds since the Unix epoch.

CREATE TABLE deliveries (
    id          TEXT    NOT NULL PRIMARY KEY,
    destination TEXT    NOT NULL,
    approval    TEXT    NOT NULL REFERENCES approvals (id),
    event       TEXT    NOT NULL,
    -- what is told, masked, as JSON
    message     TEXT    NOT NULL,
    state       TEXT    NOT NULL CONSTRAINT delivery_state CHECK (state IN ('waiting', 'delivered', 'dead')),
    attempts    INTEGER NOT NULL,
    -- when it is tried next, or until when whoever took it has it
    next_at     INTEGER NOT NULL,
    error       TEXT,
    at          INTEGER NOT NULL,
    done_at     INTEGER,
    CONSTRAINT delivery_ends_with_a_time CHECK ((state = 'waiting') = (done_at IS NULL))
) STRICT;
CREATE INDEX deliveries_due ON deliveries (destination, next_at) WHERE state = 'waiting';
CREATE INDEX deliveries_by_state ON deliveries (state, at);

-- Sent again it is the same message.
CREATE TRIGGER deliveries_keep_their_message BEFORE UPDATE ON deliveries
WHEN NEW.id IS NOT OLD.id OR NEW.destination IS NOT OLD.destination OR NEW.approval IS NOT OLD.approval
  OR NEW.event IS NOT OLD.event OR NEW.message IS NOT OLD.message OR NEW.at IS NOT OLD.at
BEGIN SELECT RAISE(ABORT, 'deliveries_keep_their_message'); END;
