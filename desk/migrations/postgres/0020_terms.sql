-- What rules may ask for besides a quorum: seats, majorities, standing grants, a way past approvers.

ALTER TABLE approvals ADD COLUMN kind TEXT NOT NULL DEFAULT 'request'
    CONSTRAINT approval_kind CHECK (kind IN ('request', 'standing', 'break_glass'));
-- All of what is asked for, as JSON; empty for approvals from before this migration.
ALTER TABLE approvals ADD COLUMN asks TEXT NOT NULL DEFAULT '';
-- Which of the approvers the person was, as JSON.
ALTER TABLE decisions ADD COLUMN fits TEXT NOT NULL DEFAULT '[]';

CREATE TRIGGER approvals_keep_their_terms BEFORE UPDATE ON approvals FOR EACH ROW
WHEN (NEW.kind IS DISTINCT FROM OLD.kind OR NEW.asks IS DISTINCT FROM OLD.asks)
EXECUTE FUNCTION refuse('approvals_are_bound');

-- A standing grant can be taken back.
DROP TRIGGER approvals_end_once ON approvals;
CREATE TRIGGER approvals_end_once BEFORE UPDATE ON approvals FOR EACH ROW
WHEN ((OLD.state IN ('denied', 'expired', 'cancelled') AND NEW.state IS DISTINCT FROM OLD.state)
  OR (OLD.state = 'approved' AND NEW.state NOT IN ('approved', 'expired')
      AND NOT (OLD.kind = 'standing' AND NEW.state = 'cancelled'))
  OR (OLD.claimed_by IS NOT NULL AND NEW.claimed_by IS DISTINCT FROM OLD.claimed_by)
  OR (OLD.claimable_until IS NOT NULL AND NEW.claimable_until IS DISTINCT FROM OLD.claimable_until)
  OR (OLD.kind = 'standing' AND NEW.claimed_by IS NOT NULL))
EXECUTE FUNCTION refuse();

CREATE INDEX approvals_by_kind ON approvals (kind, created_at) WHERE kind <> 'request';

-- What people say about an approval after it was granted: a review, a revocation.
CREATE TABLE remarks (
    id       BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    approval TEXT   NOT NULL REFERENCES approvals (id),
    kind     TEXT   NOT NULL CONSTRAINT remark_kind CHECK (kind IN ('review', 'revocation')),
    verdict  TEXT   CONSTRAINT remark_verdict CHECK (verdict IN ('accepted', 'objected')),
    issuer   TEXT   NOT NULL,
    subject  TEXT   NOT NULL,
    name     TEXT,
    comment  TEXT,
    at       BIGINT NOT NULL,
    CONSTRAINT remarks_one_a_kind UNIQUE (approval, kind)
);
CREATE TRIGGER remarks_are_not_changed BEFORE UPDATE OR DELETE ON remarks FOR EACH ROW
EXECUTE FUNCTION refuse('remarks_are_append_only');
CREATE TRIGGER remarks_are_not_truncated BEFORE TRUNCATE ON remarks
EXECUTE FUNCTION refuse('remarks_are_append_only');
