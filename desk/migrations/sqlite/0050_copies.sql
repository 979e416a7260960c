-- Retention reaches what is kept beside the ledger, too: copies of refused lines, and approvals that are over. As with
-- lines, contents may go while retention says that it is at work, and nothing else may.

ALTER TABLE approvals ADD COLUMN emptied_at INTEGER;

DROP TRIGGER findings_are_not_changed;
CREATE TRIGGER findings_are_not_changed BEFORE UPDATE ON findings
WHEN (SELECT running FROM retention) IS NOT 1 OR length(NEW.line) <> 0 OR NEW.id IS NOT OLD.id
  OR NEW.found_at IS NOT OLD.found_at OR NEW.kind IS NOT OLD.kind OR NEW.chain IS NOT OLD.chain
  OR NEW.seq IS NOT OLD.seq OR NEW.detail IS NOT OLD.detail
BEGIN SELECT RAISE(ABORT, 'findings_are_append_only'); END;

DROP TRIGGER approvals_are_bound;
CREATE TRIGGER approvals_are_bound BEFORE UPDATE ON approvals
WHEN NEW.id IS NOT OLD.id OR NEW.fingerprint IS NOT OLD.fingerprint OR NEW.rule IS NOT OLD.rule
  OR NEW.approvers IS NOT OLD.approvers OR NEW.quorum IS NOT OLD.quorum OR NEW.policy IS NOT OLD.policy
  OR NEW.digest IS NOT OLD.digest OR NEW.created_at IS NOT OLD.created_at
  OR NEW.undecided_until IS NOT OLD.undecided_until OR NEW.valid_ms IS NOT OLD.valid_ms
  OR (OLD.emptied_at IS NOT NULL AND NEW.emptied_at IS NOT OLD.emptied_at)
  OR ((NEW.requester_issuer IS NOT OLD.requester_issuer OR NEW.requester_subject IS NOT OLD.requester_subject
       OR NEW.requester_email IS NOT OLD.requester_email OR NEW.requester IS NOT OLD.requester
       OR NEW.operations IS NOT OLD.operations OR NEW.preview IS NOT OLD.preview
       OR NEW.emptied_at IS NOT OLD.emptied_at)
      AND ((SELECT running FROM retention) IS NOT 1 OR NEW.emptied_at IS NULL OR OLD.emptied_at IS NOT NULL
           OR NEW.requester_subject <> '' OR NEW.requester_email IS NOT NULL))
BEGIN SELECT RAISE(ABORT, 'approvals_are_bound'); END;

DROP TRIGGER decisions_are_not_changed;
CREATE TRIGGER decisions_are_not_changed BEFORE UPDATE ON decisions
WHEN (SELECT running FROM retention) IS NOT 1 OR NEW.id IS NOT OLD.id OR NEW.approval IS NOT OLD.approval
  OR NEW.decision IS NOT OLD.decision OR NEW.at IS NOT OLD.at OR NEW.name IS NOT NULL OR NEW.email IS NOT NULL
  OR NEW.comment IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'decisions_are_append_only'); END;

DROP TRIGGER remarks_are_not_changed;
CREATE TRIGGER remarks_are_not_changed BEFORE UPDATE ON remarks
WHEN (SELECT running FROM retention) IS NOT 1 OR NEW.id IS NOT OLD.id OR NEW.approval IS NOT OLD.approval
  OR NEW.kind IS NOT OLD.kind OR NEW.verdict IS NOT OLD.verdict OR NEW.at IS NOT OLD.at OR NEW.name IS NOT NULL
  OR NEW.comment IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'remarks_are_append_only'); END;
