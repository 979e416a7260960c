-- The desk's first schema: approvals, the evidence ledger, and people's sessions. It says what the schema for
-- SQLite says. Times are milliseconds since the Unix epoch. Triggers hold what must hold whoever writes.

CREATE TABLE approvals (
    id                TEXT   NOT NULL PRIMARY KEY,
    -- SHA-256 over requester, operations, digest, policy, rule and what is asked: what the approval is bound to
    fingerprint       BYTEA  NOT NULL,
    requester_issuer  TEXT   NOT NULL,
    requester_subject TEXT   NOT NULL,
    requester_email   TEXT,
    requester         TEXT   NOT NULL,
    operations        TEXT   NOT NULL,
    rule              TEXT   NOT NULL,
    approvers         TEXT   NOT NULL,
    quorum            BIGINT NOT NULL CONSTRAINT approval_quorum CHECK (quorum >= 1),
    policy            TEXT   NOT NULL,
    digest            TEXT   NOT NULL,
    preview           TEXT   NOT NULL,
    gateway           TEXT   NOT NULL,
    created_at        BIGINT NOT NULL,
    undecided_until   BIGINT NOT NULL,
    valid_ms          BIGINT NOT NULL,
    state             TEXT   NOT NULL CONSTRAINT approval_state
                      CHECK (state IN ('pending', 'approved', 'denied', 'expired', 'cancelled')),
    ended_at          BIGINT,
    claimable_until   BIGINT,
    claimed_by        TEXT,
    claimed_at        BIGINT,
    CONSTRAINT approval_claim_has_a_time CHECK ((claimed_by IS NULL) = (claimed_at IS NULL)),
    CONSTRAINT approval_claimed_when_approved CHECK (claimed_by IS NULL OR state = 'approved'),
    CONSTRAINT approval_claimed_in_time CHECK (claimed_at IS NULL OR claimed_at < claimable_until)
);

-- The same person with the same bytes meets the approval that is open, never a second one.
CREATE UNIQUE INDEX approvals_one_open ON approvals (fingerprint)
    WHERE state = 'pending' OR (state = 'approved' AND claimed_by IS NULL);
CREATE INDEX approvals_by_state ON approvals (state, created_at);
CREATE INDEX approvals_by_requester ON approvals (requester_issuer, requester_subject, created_at);

-- What a trigger says when it refuses: its own name, or the one it was given.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', coalesce(TG_ARGV[0], TG_NAME) USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER approvals_are_bound BEFORE UPDATE ON approvals FOR EACH ROW
WHEN (NEW.id IS DISTINCT FROM OLD.id OR NEW.fingerprint IS DISTINCT FROM OLD.fingerprint
  OR NEW.requester_issuer IS DISTINCT FROM OLD.requester_issuer
  OR NEW.requester_subject IS DISTINCT FROM OLD.requester_subject
  OR NEW.requester IS DISTINCT FROM OLD.requester OR NEW.operations IS DISTINCT FROM OLD.operations
  OR NEW.rule IS DISTINCT FROM OLD.rule OR NEW.approvers IS DISTINCT FROM OLD.approvers
  OR NEW.quorum IS DISTINCT FROM OLD.quorum OR NEW.policy IS DISTINCT FROM OLD.policy
  OR NEW.digest IS DISTINCT FROM OLD.digest OR NEW.preview IS DISTINCT FROM OLD.preview
  OR NEW.created_at IS DISTINCT FROM OLD.created_at
  OR NEW.undecided_until IS DISTINCT FROM OLD.undecided_until OR NEW.valid_ms IS DISTINCT FROM OLD.valid_ms)
EXECUTE FUNCTION refuse();

CREATE TRIGGER approvals_end_once BEFORE UPDATE ON approvals FOR EACH ROW
WHEN ((OLD.state IN ('denied', 'expired', 'cancelled') AND NEW.state IS DISTINCT FROM OLD.state)
  OR (OLD.state = 'approved' AND NEW.state NOT IN ('approved', 'expired'))
  OR (OLD.claimed_by IS NOT NULL AND NEW.claimed_by IS DISTINCT FROM OLD.claimed_by)
  OR (OLD.claimable_until IS NOT NULL AND NEW.claimable_until IS DISTINCT FROM OLD.claimable_until))
EXECUTE FUNCTION refuse();

CREATE TRIGGER approvals_are_kept BEFORE DELETE ON approvals FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER approvals_are_not_truncated BEFORE TRUNCATE ON approvals EXECUTE FUNCTION refuse('approvals_are_kept');

-- Which request of a gateway waits for which approval.
CREATE TABLE exchanges (
    exchange     TEXT   NOT NULL PRIMARY KEY,
    approval     TEXT   NOT NULL REFERENCES approvals (id),
    fingerprint  BYTEA  NOT NULL,
    asked_at     BIGINT NOT NULL,
    withdrawn_at BIGINT
);
CREATE INDEX exchanges_by_approval ON exchanges (approval);

CREATE TABLE decisions (
    id       BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    approval TEXT   NOT NULL REFERENCES approvals (id),
    issuer   TEXT   NOT NULL,
    subject  TEXT   NOT NULL,
    name     TEXT,
    email    TEXT,
    roles    TEXT   NOT NULL,
    decision TEXT   NOT NULL CONSTRAINT decision_word CHECK (decision IN ('approve', 'deny')),
    comment  TEXT,
    at       BIGINT NOT NULL,
    CONSTRAINT decisions_one_a_person UNIQUE (approval, issuer, subject)
);

CREATE TRIGGER decisions_are_not_changed BEFORE UPDATE OR DELETE ON decisions FOR EACH ROW
EXECUTE FUNCTION refuse('decisions_are_append_only');
CREATE TRIGGER decisions_are_not_truncated BEFORE TRUNCATE ON decisions
EXECUTE FUNCTION refuse('decisions_are_append_only');

-- The ledger. `line` holds the exact bytes; the other columns are read from it for searching.
CREATE TABLE lines (
    position    BIGINT NOT NULL PRIMARY KEY,
    chain       TEXT   NOT NULL,
    seq         BIGINT NOT NULL,
    hash        BYTEA  NOT NULL,
    prev        BYTEA  NOT NULL,
    line        BYTEA  NOT NULL,
    received_at BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    kind        TEXT   NOT NULL,
    exchange    TEXT,
    subject     TEXT,
    person      TEXT,
    operation   TEXT,
    graph       TEXT,
    thread      TEXT,
    effect      TEXT,
    status      BIGINT,
    CONSTRAINT lines_one_a_place UNIQUE (chain, seq)
);
CREATE INDEX lines_by_time ON lines (at);
CREATE INDEX lines_by_exchange ON lines (exchange) WHERE exchange IS NOT NULL;
-- The desk's own chain goes on where its last entry left it, whichever replica wrote that.
CREATE INDEX lines_of_desk ON lines (position) WHERE kind = 'desk';

-- Positions have no holes, so that a line that was taken out can be seen to be missing.
CREATE FUNCTION refuse_holes_in_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.position IS DISTINCT FROM (SELECT coalesce(max(position), -1) + 1 FROM lines) THEN
        RAISE EXCEPTION 'lines_are_append_only' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER lines_follow_each_other BEFORE INSERT ON lines FOR EACH ROW
EXECUTE FUNCTION refuse_holes_in_lines();
CREATE TRIGGER lines_are_not_changed BEFORE UPDATE OR DELETE ON lines FOR EACH ROW
EXECUTE FUNCTION refuse('lines_are_append_only');
CREATE TRIGGER lines_are_not_truncated BEFORE TRUNCATE ON lines
EXECUTE FUNCTION refuse('lines_are_append_only');

-- What did not add up when lines came in. Gaps are not kept here: they are computed, since late lines close them.
CREATE TABLE findings (
    id       BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    found_at BIGINT NOT NULL,
    kind     TEXT   NOT NULL,
    chain    TEXT   NOT NULL,
    seq      BIGINT NOT NULL,
    detail   TEXT   NOT NULL,
    line     BYTEA
);
CREATE TRIGGER findings_are_not_changed BEFORE UPDATE OR DELETE ON findings FOR EACH ROW
EXECUTE FUNCTION refuse('findings_are_append_only');
CREATE TRIGGER findings_are_not_truncated BEFORE TRUNCATE ON findings
EXECUTE FUNCTION refuse('findings_are_append_only');

-- Browsers of people who signed in. Only the SHA-256 of the cookie is kept.
CREATE TABLE sessions (
    id         BYTEA  NOT NULL PRIMARY KEY,
    person     TEXT   NOT NULL,
    csrf       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- Sign-ins on their way to the provider and back.
CREATE TABLE sign_ins (
    id         BYTEA  NOT NULL PRIMARY KEY,
    nonce      TEXT   NOT NULL,
    verifier   TEXT   NOT NULL,
    return_to  TEXT   NOT NULL,
    expires_at BIGINT NOT NULL
);
