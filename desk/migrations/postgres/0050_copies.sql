-- Retention reaches what is kept beside the ledger, too: copies of refused lines, and approvals that are over. As with
-- lines, contents may go while retention says that it is at work, and nothing else may.

ALTER TABLE approvals ADD COLUMN emptied_at BIGINT;

CREATE FUNCTION let_retention_alone_empty_findings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT running FROM retention) IS DISTINCT FROM 1 OR length(NEW.line) <> 0
      OR (NEW.id, NEW.found_at, NEW.kind, NEW.chain, NEW.seq, NEW.detail)
         IS DISTINCT FROM (OLD.id, OLD.found_at, OLD.kind, OLD.chain, OLD.seq, OLD.detail) THEN
        RAISE EXCEPTION 'findings_are_append_only' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER findings_are_not_changed ON findings;
CREATE TRIGGER findings_are_not_changed BEFORE UPDATE ON findings FOR EACH ROW
EXECUTE FUNCTION let_retention_alone_empty_findings();
CREATE TRIGGER findings_are_not_deleted BEFORE DELETE ON findings FOR EACH ROW
EXECUTE FUNCTION refuse('findings_are_append_only');

CREATE FUNCTION let_retention_alone_empty_approvals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.fingerprint, NEW.rule, NEW.approvers, NEW.quorum, NEW.policy, NEW.digest, NEW.created_at,
        NEW.undecided_until, NEW.valid_ms)
       IS DISTINCT FROM (OLD.id, OLD.fingerprint, OLD.rule, OLD.approvers, OLD.quorum, OLD.policy, OLD.digest,
        OLD.created_at, OLD.undecided_until, OLD.valid_ms)
      OR (OLD.emptied_at IS NOT NULL AND NEW.emptied_at IS DISTINCT FROM OLD.emptied_at)
      OR ((NEW.requester_issuer, NEW.requester_subject, NEW.requester_email, NEW.requester, NEW.operations,
           NEW.preview, NEW.emptied_at)
          IS DISTINCT FROM (OLD.requester_issuer, OLD.requester_subject, OLD.requester_email, OLD.requester,
           OLD.operations, OLD.preview, OLD.emptied_at)
          AND ((SELECT running FROM retention) IS DISTINCT FROM 1 OR NEW.emptied_at IS NULL
               OR OLD.emptied_at IS NOT NULL OR NEW.requester_subject <> '' OR NEW.requester_email IS NOT NULL)) THEN
        RAISE EXCEPTION 'approvals_are_bound' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER approvals_are_bound ON approvals;
CREATE TRIGGER approvals_are_bound BEFORE UPDATE ON approvals FOR EACH ROW
EXECUTE FUNCTION let_retention_alone_empty_approvals();

CREATE FUNCTION let_retention_alone_empty_decisions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT running FROM retention) IS DISTINCT FROM 1
      OR (NEW.id, NEW.approval, NEW.decision, NEW.at) IS DISTINCT FROM (OLD.id, OLD.approval, OLD.decision, OLD.at)
      OR NEW.name IS NOT NULL OR NEW.email IS NOT NULL OR NEW.comment IS NOT NULL THEN
        RAISE EXCEPTION 'decisions_are_append_only' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER decisions_are_not_changed ON decisions;
CREATE TRIGGER decisions_are_not_changed BEFORE UPDATE ON decisions FOR EACH ROW
EXECUTE FUNCTION let_retention_alone_empty_decisions();
CREATE TRIGGER decisions_are_not_deleted BEFORE DELETE ON decisions FOR EACH ROW
EXECUTE FUNCTION refuse('decisions_are_append_only');

CREATE FUNCTION let_retention_alone_empty_remarks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT running FROM retention) IS DISTINCT FROM 1
      OR (NEW.id, NEW.approval, NEW.kind, NEW.at) IS DISTINCT FROM (OLD.id, OLD.approval, OLD.kind, OLD.at)
      OR NEW.verdict IS DISTINCT FROM OLD.verdict OR NEW.name IS NOT NULL OR NEW.comment IS NOT NULL THEN
        RAISE EXCEPTION 'remarks_are_append_only' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER remarks_are_not_changed ON remarks;
CREATE TRIGGER remarks_are_not_changed BEFORE UPDATE ON remarks FOR EACH ROW
EXECUTE FUNCTION let_retention_alone_empty_remarks();
CREATE TRIGGER remarks_are_not_deleted BEFORE DELETE ON remarks FOR EACH ROW
EXECUTE FUNCTION refuse('remarks_are_append_only');
