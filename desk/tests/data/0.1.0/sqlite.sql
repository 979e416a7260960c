-- A database as version 0.1.0 leaves it, with a little in it; see desk/tests/migrations.rs.
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL);
INSERT INTO "_sqlx_migrations" VALUES(1,'desk','2026-11-22 00:00:00',1,X'78A6E249F93DC3A1D3587EBFE9F623966BB60E350DCA56EB765805271000653174B840AB116E067703F2B103048A37C4',1);
INSERT INTO "_sqlx_migrations" VALUES(2,'log','2026-11-22 00:00:00',1,X'5419F6E88352239AEDE21A839F1C6298D88D93E8E2A144D5C2973890137443EBFE4E77C1B2E5705A10E632BD87688243',1);
INSERT INTO "_sqlx_migrations" VALUES(10,'ledger','2026-11-22 00:00:00',1,X'DAE2BD11D17B234C0DFC61C41A8D6F6A013C717C3B1FC0A65FF6C39508A59643AF282ED795BCBE8A8DACA276887DFD84',1);
INSERT INTO "_sqlx_migrations" VALUES(20,'terms','2026-11-22 00:00:00',1,X'491F27807FE0D4DCED01DC03BCBDAFEEB18D88D7FD769B89A253FB15F644E484A90F3FF45FD7981B9DE0AC3F941F287F',1);
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
    claimed_at        INTEGER, kind TEXT NOT NULL DEFAULT 'request'
    CONSTRAINT approval_kind CHECK (kind IN ('request', 'standing', 'break_glass')), asks TEXT NOT NULL DEFAULT '',
    CONSTRAINT approval_claim_has_a_time CHECK ((claimed_by IS NULL) = (claimed_at IS NULL)),
    CONSTRAINT approval_claimed_when_approved CHECK (claimed_by IS NULL OR state = 'approved'),
    CONSTRAINT approval_claimed_in_time CHECK (claimed_at IS NULL OR claimed_at < claimable_until)
) STRICT;
INSERT INTO "approvals" VALUES('old-pending',X'01','https://idp.example','ana','ana@example.com','{"issuer":"https://idp.example","subject":"ana","name":"Ana Analyst","email":"ana@example.com","roles":["analyst"]}','[{"operation":"threads.create_run","class":"execute","graph":"billing"}]','a rule','["role:manager"]',1,'abab','cdcd','{"method":"POST","path":"/threads/t/runs","body":"{}","truncated":false}','gate-1',1763812800000,1763816400000,600000,'pending',NULL,NULL,NULL,NULL,'request','{"approvers":["role:manager"],"quorum":1,"valid_seconds":600,"expires_seconds":3600}');
INSERT INTO "approvals" VALUES('old-approved',X'02','https://idp.example','ana',NULL,'{"issuer":"https://idp.example","subject":"ana","roles":[]}','[{"operation":"store.put","class":"write"}]','a rule','["role:manager"]',1,'abab','cdce','{"method":"PUT","path":"/store/items","body":"{}","truncated":true}','gate-1',1763812800000,1763816400000,600000,'approved',1763812801000,1763813401000,'x-old',1763812802000,'request','');
CREATE TABLE checkpoints (
    id   INTEGER NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL,
    at   INTEGER NOT NULL,
    note BLOB    NOT NULL
) STRICT;
CREATE TABLE cosignatures (
    size    INTEGER NOT NULL,
    witness TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    line    TEXT    NOT NULL,
    PRIMARY KEY (size, witness)
) STRICT;
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
    at       INTEGER NOT NULL, fits TEXT NOT NULL DEFAULT '[]',
    CONSTRAINT decisions_one_a_person UNIQUE (approval, issuer, subject)
) STRICT;
INSERT INTO "decisions" VALUES(1,'old-approved','https://idp.example','mia','Mia','mia@example.com','["manager"]','approve','fine',1763812801000,'["role:manager"]');
CREATE TABLE exchanges (
    exchange     TEXT    NOT NULL PRIMARY KEY,
    approval     TEXT    NOT NULL REFERENCES approvals (id),
    fingerprint  BLOB    NOT NULL,
    asked_at     INTEGER NOT NULL,
    withdrawn_at INTEGER
) STRICT;
INSERT INTO "exchanges" VALUES('x-pending','old-pending',X'01',1763812800000,NULL);
INSERT INTO "exchanges" VALUES('x-old','old-approved',X'02',1763812800000,NULL);
CREATE TABLE findings (
    id       INTEGER NOT NULL PRIMARY KEY,
    found_at INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    chain    TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    detail   TEXT    NOT NULL,
    line     BLOB
) STRICT;
CREATE TABLE holds (
    id          INTEGER NOT NULL PRIMARY KEY,
    reason      TEXT    NOT NULL,
    filter      TEXT    NOT NULL,
    placed_at   INTEGER NOT NULL,
    released_at INTEGER
) STRICT;
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
    status      INTEGER, class TEXT,
    CONSTRAINT lines_one_a_place UNIQUE (chain, seq)
) STRICT;
CREATE TABLE nodes (
    idx  INTEGER NOT NULL PRIMARY KEY,
    hash BLOB    NOT NULL
) STRICT;
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
CREATE TABLE publications (
    target       TEXT    NOT NULL PRIMARY KEY,
    size         INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    failed_since INTEGER,
    error        TEXT
) STRICT;
CREATE TABLE remarks (
    id       INTEGER NOT NULL PRIMARY KEY,
    approval TEXT    NOT NULL REFERENCES approvals (id),
    kind     TEXT    NOT NULL CONSTRAINT remark_kind CHECK (kind IN ('review', 'revocation')),
    verdict  TEXT    CONSTRAINT remark_verdict CHECK (verdict IN ('accepted', 'objected')),
    issuer   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    name     TEXT,
    comment  TEXT,
    at       INTEGER NOT NULL,
    CONSTRAINT remarks_one_a_kind UNIQUE (approval, kind)
) STRICT;
CREATE TABLE retention (
    id      INTEGER NOT NULL PRIMARY KEY CONSTRAINT retention_is_one CHECK (id = 1),
    running INTEGER NOT NULL CONSTRAINT retention_running CHECK (running IN (0, 1))
) STRICT;
INSERT INTO "retention" VALUES(1,0);
CREATE TABLE sessions (
    id         BLOB    NOT NULL PRIMARY KEY,
    person     TEXT    NOT NULL,
    csrf       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE TABLE sign_ins (
    id         BLOB    NOT NULL PRIMARY KEY,
    nonce      TEXT    NOT NULL,
    verifier   TEXT    NOT NULL,
    return_to  TEXT    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE TABLE tree (
    id   INTEGER NOT NULL PRIMARY KEY CONSTRAINT tree_is_one CHECK (id = 1),
    size INTEGER NOT NULL
) STRICT;
INSERT INTO "tree" VALUES(1,0);
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
CREATE TRIGGER approvals_are_not_replaced BEFORE INSERT ON approvals
WHEN EXISTS (SELECT 1 FROM approvals WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'approvals_are_kept'); END;
CREATE TRIGGER approvals_are_kept BEFORE DELETE ON approvals
BEGIN SELECT RAISE(ABORT, 'approvals_are_kept'); END;
CREATE INDEX exchanges_by_approval ON exchanges (approval);
CREATE TRIGGER decisions_are_not_replaced BEFORE INSERT ON decisions
WHEN EXISTS (SELECT 1 FROM decisions WHERE id = NEW.id
             OR (approval = NEW.approval AND issuer = NEW.issuer AND subject = NEW.subject))
BEGIN SELECT RAISE(ABORT, 'decisions_are_append_only'); END;
CREATE TRIGGER decisions_are_not_changed BEFORE UPDATE ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions_are_append_only'); END;
CREATE TRIGGER decisions_are_not_deleted BEFORE DELETE ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions_are_append_only'); END;
CREATE INDEX lines_by_time ON lines (at);
CREATE INDEX lines_by_exchange ON lines (exchange) WHERE exchange IS NOT NULL;
CREATE TRIGGER lines_are_not_replaced BEFORE INSERT ON lines
WHEN NEW.position IS NOT (SELECT coalesce(max(position), -1) + 1 FROM lines)
  OR EXISTS (SELECT 1 FROM lines WHERE chain = NEW.chain AND seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'lines_are_append_only'); END;
CREATE TRIGGER lines_are_not_deleted BEFORE DELETE ON lines
BEGIN SELECT RAISE(ABORT, 'lines_are_append_only'); END;
CREATE TRIGGER findings_are_not_changed BEFORE UPDATE ON findings
BEGIN SELECT RAISE(ABORT, 'findings_are_append_only'); END;
CREATE TRIGGER findings_are_not_deleted BEFORE DELETE ON findings
BEGIN SELECT RAISE(ABORT, 'findings_are_append_only'); END;
CREATE TRIGGER tree_only_grows BEFORE UPDATE ON tree WHEN NEW.size < OLD.size
BEGIN SELECT RAISE(ABORT, 'tree_only_grows'); END;
CREATE TRIGGER nodes_are_not_replaced BEFORE INSERT ON nodes
WHEN NEW.idx IS NOT (SELECT coalesce(max(idx), -1) + 1 FROM nodes)
BEGIN SELECT RAISE(ABORT, 'nodes_are_append_only'); END;
CREATE TRIGGER nodes_are_not_changed BEFORE UPDATE ON nodes
BEGIN SELECT RAISE(ABORT, 'nodes_are_append_only'); END;
CREATE TRIGGER nodes_are_not_deleted BEFORE DELETE ON nodes
BEGIN SELECT RAISE(ABORT, 'nodes_are_append_only'); END;
CREATE TRIGGER checkpoints_are_not_changed BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints_are_append_only'); END;
CREATE TRIGGER checkpoints_are_not_deleted BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints_are_append_only'); END;
CREATE INDEX lines_with_contents ON lines (kind, at) WHERE length(line) > 0;
CREATE TRIGGER lines_are_not_changed BEFORE UPDATE ON lines
WHEN (SELECT running FROM retention) IS NOT 1
  OR length(NEW.line) <> 0 OR NEW.person IS NOT NULL OR NEW.subject IS NOT NULL OR NEW.thread IS NOT NULL
  OR NEW.position IS NOT OLD.position OR NEW.chain IS NOT OLD.chain OR NEW.seq IS NOT OLD.seq
  OR NEW.hash IS NOT OLD.hash OR NEW.prev IS NOT OLD.prev OR NEW.received_at IS NOT OLD.received_at
  OR NEW.at IS NOT OLD.at OR NEW.kind IS NOT OLD.kind OR NEW.exchange IS NOT OLD.exchange
BEGIN SELECT RAISE(ABORT, 'lines_are_append_only'); END;
CREATE TRIGGER holds_are_only_released BEFORE UPDATE ON holds
WHEN OLD.released_at IS NOT NULL OR NEW.released_at IS NULL OR NEW.id IS NOT OLD.id OR NEW.reason IS NOT OLD.reason
  OR NEW.filter IS NOT OLD.filter OR NEW.placed_at IS NOT OLD.placed_at
BEGIN SELECT RAISE(ABORT, 'holds_are_kept'); END;
CREATE TRIGGER holds_are_kept BEFORE DELETE ON holds
BEGIN SELECT RAISE(ABORT, 'holds_are_kept'); END;
CREATE TRIGGER approvals_keep_their_terms BEFORE UPDATE ON approvals
WHEN NEW.kind IS NOT OLD.kind OR NEW.asks IS NOT OLD.asks
BEGIN SELECT RAISE(ABORT, 'approvals_are_bound'); END;
CREATE TRIGGER approvals_end_once BEFORE UPDATE ON approvals
WHEN (OLD.state IN ('denied', 'expired', 'cancelled') AND NEW.state IS NOT OLD.state)
  OR (OLD.state = 'approved' AND NEW.state NOT IN ('approved', 'expired')
      AND NOT (OLD.kind = 'standing' AND NEW.state = 'cancelled'))
  OR (OLD.claimed_by IS NOT NULL AND NEW.claimed_by IS NOT OLD.claimed_by)
  OR (OLD.claimable_until IS NOT NULL AND NEW.claimable_until IS NOT OLD.claimable_until)
  OR (OLD.kind = 'standing' AND NEW.claimed_by IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'approvals_end_once'); END;
CREATE INDEX approvals_by_kind ON approvals (kind, created_at) WHERE kind <> 'request';
CREATE TRIGGER remarks_are_not_replaced BEFORE INSERT ON remarks
WHEN EXISTS (SELECT 1 FROM remarks WHERE id = NEW.id OR (approval = NEW.approval AND kind = NEW.kind))
BEGIN SELECT RAISE(ABORT, 'remarks_are_append_only'); END;
CREATE TRIGGER remarks_are_not_changed BEFORE UPDATE ON remarks
BEGIN SELECT RAISE(ABORT, 'remarks_are_append_only'); END;
CREATE TRIGGER remarks_are_not_deleted BEFORE DELETE ON remarks
BEGIN SELECT RAISE(ABORT, 'remarks_are_append_only'); END;
COMMIT;
