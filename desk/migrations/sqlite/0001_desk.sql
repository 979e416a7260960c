-- The desk's first schema: approvals, the evidence ledger, and people's sessions.
-- Times are milliseconds since the Unix epoch. Triggers hold what must hold whoever writes.

CREATE TABLE approvals (
    id                TEXT    NOT NULL PRIMARY KEY,
    -- SHA-256 over requester, operations, digest, policy, rule and what is asked: what the approval is bound to
    fingerprint       BLOB    NOT NULL,
    requester_issuer  TEXT    NOT NULL,
    requester_subject TEXT    NOT NULL,
    requester_email   TEXT,
    requester         TEXT    NOT NULL,
    operations        TEXT    NOT NULL,
    rule              TEXT    NOT NULL,
    approvers         TEXT    NOT NULL,
    quorum            INTEGER NOT NULL CONSTRAINT approval_quorum CHECK (quorum >= 1),
    policy            TEXT    NOT NULL,
    digest            TEXT    NOT NULL,
    preview           TEXT    NOT NULL,
    gateway           TEXT    NOT NULL,
    created_at        INTEGER NOT NULL,
    undecided_until   INTEGER NOT NULL,
    valid_ms          INTEGER NOT NULL,
    state             TEXT    NOT NULL CONSTRAINT approval_state
                      CHECK (state IN ('pending', 'approved', 'denied', 'expired', 'cancelled')),
    ended_at          INTEGER,
    claimable_until   INTEGER,
    claimed_by        TEXT,
    claimed_at        INTEGER,
    CONSTRAINT approval_claim_has_a_time CHECK ((claimed_by IS NULL) = (claimed_at IS NULL)),
    CONSTRAINT approval_claimed_when_approved CHECK (claimed_by IS NULL OR state = 'approved'),
    CONSTRAINT approval_claimed_in_time CHECK (claimed_at IS NULL OR claimed_at < claimable_until)
) STRICT;

-- The same person with the same bytes meets the approval that is open, never a second one.
CREATE UNIQUE INDEX approvals_one_open ON approvals (fingerprint)
    WHERE state = 'pending' OR (state = 'approved' AND claimed_by IS NULL);
CREATE INDEX approvals_by_state ON approvals (state, created_at);
CREATE INDEX approvals_by_requester ON approvals (requester_issuer, requester_subject, created_at);

CREATE TRIGGER approvals_are_bound BEFORE UPDATE ON approvals
WHEN NEW.id IS NOT OLD.id OR NEW.fingerprint IS NOT OLD.fingerprint
  OR NEW.requester_issuer IS NOT OLD.requester_issuer OR NEW.requester_subject IS NOT OLD.requester_subject
  OR NEW.requester IS NOT OLD.requester OR NEW.operations IS NOT OLD.operations OR NEW.rule IS NOT OLD.rule
  OR NEW.approvers IS NOT OLD.approvers OR NEW.quorum IS NOT OLD.quorum OR NEW.policy IS NOT OLD.policy
  OR NEW.digest IS NOT OLD.digest OR NEW.preview IS NOT OLD.preview OR NEW.created_at IS NOT OLD.created_at
  OR NEW.undecided_until IS NOT OLD.undecided_until OR NEW.valid_ms IS NOT OLD.valid_ms
BEGIN SELECT RAISE(ABORT, 'approvals_are_bound'); END;

CREATE TRIGGER approvals_end_once BEFORE UPDATE ON approvals
WHEN (OLD.state IN ('denied', 'expired', 'cancelled') AND NEW.state IS NOT OLD.state)
  OR (OLD.state = 'approved' AND NEW.state NOT IN ('approved', 'expired'))
  OR (OLD.claimed_by IS NOT NULL AND NEW.claimed_by IS NOT OLD.claimed_by)
  OR (OLD.claimable_until IS NOT NULL AND NEW.claimable_until IS NOT OLD.claimable_until)
BEGIN SELECT RAISE(ABORT, 'approvals_end_once'); END;

CREATE TRIGGER approvals_are_not_replaced BEFORE INSERT ON approvals
WHEN EXISTS (SELECT 1 FROM approvals WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'approvals_are_kept'); END;
CREATE TRIGGER approvals_are_kept BEFORE DELETE ON approvals
BEGIN SELECT RAISE(ABORT, 'approvals_are_kept'); END;

-- Which request of a gateway waits for which approval.
CREATE TABLE exchanges (
    exchange     TEXT    NOT NULL PRIMARY KEY,
    approval     TEXT    NOT NULL REFERENCES approvals (id),
    fingerprint  BLOB    NOT NULL,
    asked_at     INTEGER NOT NULL,
    withdrawn_at INTEGER
) STRICT;
CREATE INDEX exchanges_by_approval ON exchanges (approval);

CREATE TABLE decisions (
    id       INTEGER NOT NULL PRIMARY KEY,
    approval TEXT    NOT NULL REFERENCES approvals (id),
    issuer   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    name     TEXT,
    email    TEXT,
    roles    TEXT    NOT NULL,
    decision TEXT    NOT NULL CONSTRAINT decision_word CHECK (decision IN ('approve', 'deny')),
    comment  TEXT,
    at       INTEGER NOT NULL,
    CONSTRAINT decisions_one_a_person UNIQUE (approval, issuer, subject)
) STRICT;

CREATE TRIGGER decisions_are_not_replaced BEFORE INSERT ON decisions
WHEN EXISTS (SELECT 1 FROM decisions WHERE id = NEW.id
             OR (approval = NEW.approval AND issuer = NEW.issuer AND subject = NEW.subject))
BEGIN SELECT RAISE(ABORT, 'decisions_are_append_only'); END;
CREATE TRIGGER decisions_are_not_changed BEFORE UPDATE ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions_are_append_only'); END;
CREATE TRIGGER decisions_are_not_deleted BEFORE DELETE ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions_are_append_only'); END;

-- The ledger. `line` holds the exact bytes; the other columns are read from it for searching.
CREATE TABLE lines (
    position    INTEGER NOT NULL PRIMARY KEY,
    chain       TEXT    NOT NULL,
    seq         INTEGER NOT NULL,
    hash        BLOB    NOT NULL,
    prev        BLOB    NOT NULL,
    line        BLOB    NOT NULL,
    received_at INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    kind        TEXT    NOT NULL,
    exchange    TEXT,
    subject     TEXT,
    person      TEXT,
    operation   TEXT,
    graph       TEXT,
    thread      TEXT,
    effect      TEXT,
    status      INTEGER,
    CONSTRAINT lines_one_a_place UNIQUE (chain, seq)
) STRICT;
CREATE INDEX lines_by_time ON lines (at);
CREATE INDEX lines_by_exchange ON lines (exchange) WHERE exchange IS NOT NULL;

-- INSERT OR REPLACE would remove a row without firing the trigger on DELETE.
CREATE TRIGGER lines_are_not_replaced BEFORE INSERT ON lines
WHEN NEW.position IS NOT (SELECT coalesce(max(position), -1) + 1 FROM lines)
  OR EXISTS (SELECT 1 FROM lines WHERE chain = NEW.chain AND seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'lines_are_append_only'); END;
CREATE TRIGGER lines_are_not_changed BEFORE UPDATE ON lines
BEGIN SELECT RAISE(ABORT, 'lines_are_append_only'); END;
CREATE TRIGGER lines_are_not_deleted BEFORE DELETE ON lines
BEGIN SELECT RAISE(ABORT, 'lines_are_append_only'); END;

-- What did not add up when lines came in. Gaps are not kept here: they are computed, since late lines close them.
CREATE TABLE findings (
    id       INTEGER NOT NULL PRIMARY KEY,
    found_at INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    chain    TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    detail   TEXT    NOT NULL,
    line     BLOB
) STRICT;

CREATE TRIGGER findings_are_not_changed BEFORE UPDATE ON findings
BEGIN SELECT RAISE(ABORT, 'findings_are_append_only'); END;
CREATE TRIGGER findings_are_not_deleted BEFORE DELETE ON findings
BEGIN SELECT RAISE(ABORT, 'findings_are_append_only'); END;

-- Browsers of people who signed in. Only the SHA-256 of the cookie is kept.
CREATE TABLE sessions (
    id         BLOB    NOT NULL PRIMARY KEY,
    person     TEXT    NOT NULL,
    csrf       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- Sign-ins on their way to the provider and back.
CREATE TABLE sign_ins (
    id         BLOB    NOT NULL PRIMARY KEY,
    nonce      TEXT    NOT NULL,
    verifier   TEXT    NOT NULL,
    return_to  TEXT    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
