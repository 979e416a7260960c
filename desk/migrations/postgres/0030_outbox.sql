-- The outbox: what people are told by webhook, Slack and e-mail. Times are milliseconds since the Unix epoch.

CREATE TABLE deliveries (
    id          TEXT   NOT NULL PRIMARY KEY,
    destination TEXT   NOT NULL,
    approval    TEXT   NOT NULL REFERENCES approvals (id),
    event       TEXT   NOT NULL,
    -- what is told, masked, as JSON
    message     TEXT   NOT NULL,
    state       TEXT   NOT NULL CONSTRAINT delivery_state CHECK (state IN ('waiting', 'delivered', 'dead')),
    attempts    BIGINT NOT NULL,
    -- when it is tried next, or until when whoever took it has it
    next_at     BIGINT NOT NULL,
    error       TEXT,
    at          BIGINT NOT NULL,
    done_at     BIGINT,
    CONSTRAINT delivery_ends_with_a_time CHECK ((state = 'waiting') = (done_at IS NULL))
);
CREATE INDEX deliveries_due ON deliveries (destination, next_at) WHERE state = 'waiting';
CREATE INDEX deliveries_by_state ON deliveries (state, at);

-- Sent again it is the same message.
CREATE TRIGGER deliveries_keep_their_message BEFORE UPDATE ON deliveries FOR EACH ROW
WHEN (NEW.id IS DISTINCT FROM OLD.id OR NEW.destination IS DISTINCT FROM OLD.destination
  OR NEW.approval IS DISTINCT FROM OLD.approval OR NEW.event IS DISTINCT FROM OLD.event
  OR NEW.message IS DISTINCT FROM OLD.message OR NEW.at IS DISTINCT FROM OLD.at)
EXECUTE FUNCTION refuse('deliveries_keep_their_message');
