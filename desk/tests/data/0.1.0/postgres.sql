-- A database as version 0.1.0 leaves it, with a little in it; see desk/tests/migrations.rs.
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE FUNCTION public.let_retention_alone_empty_lines() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION public.refuse() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '%', coalesce(TG_ARGV[0], TG_NAME) USING ERRCODE = 'check_violation';
END $$;
CREATE FUNCTION public.refuse_holes_in_lines() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NEW.position IS DISTINCT FROM (SELECT coalesce(max(position), -1) + 1 FROM lines) THEN
        RAISE EXCEPTION 'lines_are_append_only' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION public.refuse_holes_in_nodes() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NEW.idx IS DISTINCT FROM (SELECT coalesce(max(idx), -1) + 1 FROM nodes) THEN
        RAISE EXCEPTION 'nodes_are_append_only' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public._sqlx_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);
CREATE TABLE public.approvals (
    id text NOT NULL,
    fingerprint bytea NOT NULL,
    requester_issuer text NOT NULL,
    requester_subject text NOT NULL,
    requester_email text,
    requester text NOT NULL,
    operations text NOT NULL,
    rule text NOT NULL,
    approvers text NOT NULL,
    quorum bigint NOT NULL,
    policy text NOT NULL,
    digest text NOT NULL,
    preview text NOT NULL,
    gateway text NOT NULL,
    created_at bigint NOT NULL,
    undecided_until bigint NOT NULL,
    valid_ms bigint NOT NULL,
    state text NOT NULL,
    ended_at bigint,
    claimable_until bigint,
    claimed_by text,
    claimed_at bigint,
    kind text DEFAULT 'request'::text NOT NULL,
    asks text DEFAULT ''::text NOT NULL,
    CONSTRAINT approval_claim_has_a_time CHECK (((claimed_by IS NULL) = (claimed_at IS NULL))),
    CONSTRAINT approval_claimed_in_time CHECK (((claimed_at IS NULL) OR (claimed_at < claimable_until))),
    CONSTRAINT approval_claimed_when_approved CHECK (((claimed_by IS NULL) OR (state = 'approved'::text))),
    CONSTRAINT approval_kind CHECK ((kind = ANY (ARRAY['request'::text, 'standing'::text, 'break_glass'::text]))),
    CONSTRAINT approval_quorum CHECK ((quorum >= 1)),
    CONSTRAINT approval_state CHECK ((state = ANY (ARRAY['pending'::text, 'approved'::text, 'denied'::text, 'expired'::text, 'cancelled'::text])))
);
CREATE TABLE public.checkpoints (
    id bigint NOT NULL,
    size bigint NOT NULL,
    at bigint NOT NULL,
    note bytea NOT NULL
);
ALTER TABLE public.checkpoints ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.checkpoints_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.cosignatures (
    size bigint NOT NULL,
    witness text NOT NULL,
    at bigint NOT NULL,
    line text NOT NULL
);
CREATE TABLE public.decisions (
    id bigint NOT NULL,
    approval text NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    name text,
    email text,
    roles text NOT NULL,
    decision text NOT NULL,
    comment text,
    at bigint NOT NULL,
    fits text DEFAULT '[]'::text NOT NULL,
    CONSTRAINT decision_word CHECK ((decision = ANY (ARRAY['approve'::text, 'deny'::text])))
);
ALTER TABLE public.decisions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.decisions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.exchanges (
    exchange text NOT NULL,
    approval text NOT NULL,
    fingerprint bytea NOT NULL,
    asked_at bigint NOT NULL,
    withdrawn_at bigint
);
CREATE TABLE public.findings (
    id bigint NOT NULL,
    found_at bigint NOT NULL,
    kind text NOT NULL,
    chain text NOT NULL,
    seq bigint NOT NULL,
    detail text NOT NULL,
    line bytea
);
ALTER TABLE public.findings ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.findings_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.holds (
    id bigint NOT NULL,
    reason text NOT NULL,
    filter text NOT NULL,
    placed_at bigint NOT NULL,
    released_at bigint
);
ALTER TABLE public.holds ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.holds_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.lines (
    "position" bigint NOT NULL,
    chain text NOT NULL,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    prev bytea NOT NULL,
    line bytea NOT NULL,
    received_at bigint NOT NULL,
    at bigint NOT NULL,
    kind text NOT NULL,
    exchange text,
    subject text,
    person text,
    operation text,
    graph text,
    thread text,
    effect text,
    status bigint,
    class text
);
CREATE TABLE public.nodes (
    idx bigint NOT NULL,
    hash bytea NOT NULL
);
CREATE TABLE public.open_exchanges (
    exchange text NOT NULL,
    "position" bigint NOT NULL,
    at bigint NOT NULL,
    marked_at bigint
);
CREATE TABLE public.progress (
    name text NOT NULL,
    "position" bigint NOT NULL
);
CREATE TABLE public.publications (
    target text NOT NULL,
    size bigint NOT NULL,
    at bigint NOT NULL,
    failed_since bigint,
    error text
);
CREATE TABLE public.remarks (
    id bigint NOT NULL,
    approval text NOT NULL,
    kind text NOT NULL,
    verdict text,
    issuer text NOT NULL,
    subject text NOT NULL,
    name text,
    comment text,
    at bigint NOT NULL,
    CONSTRAINT remark_kind CHECK ((kind = ANY (ARRAY['review'::text, 'revocation'::text]))),
    CONSTRAINT remark_verdict CHECK ((verdict = ANY (ARRAY['accepted'::text, 'objected'::text])))
);
ALTER TABLE public.remarks ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.remarks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.retention (
    id bigint NOT NULL,
    running bigint NOT NULL,
    CONSTRAINT retention_is_one CHECK ((id = 1)),
    CONSTRAINT retention_running CHECK ((running = ANY (ARRAY[(0)::bigint, (1)::bigint])))
);
CREATE TABLE public.sessions (
    id bytea NOT NULL,
    person text NOT NULL,
    csrf text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE TABLE public.sign_ins (
    id bytea NOT NULL,
    nonce text NOT NULL,
    verifier text NOT NULL,
    return_to text NOT NULL,
    expires_at bigint NOT NULL
);
CREATE TABLE public.tree (
    id bigint NOT NULL,
    size bigint NOT NULL,
    CONSTRAINT tree_is_one CHECK ((id = 1))
);
INSERT INTO public._sqlx_migrations VALUES (1, 'desk', '2026-11-22 00:00:00+00', true, '\x245188b14c911afbba3ca3acadf0ad789e06f7912d72e74cbcdbd3ac17673290ea9928363fb5c356504dd6f02f71ac76', 1);
INSERT INTO public._sqlx_migrations VALUES (2, 'log', '2026-11-22 00:00:00+00', true, '\x2d280503a9c18a3edccf20d087ab7b0ac7ada641c7f2b5f3b6c4d9bca0750e0f3553d00da5f0e5421d48d1418f027563', 1);
INSERT INTO public._sqlx_migrations VALUES (10, 'ledger', '2026-11-22 00:00:00+00', true, '\x98955fa9ad30c7cfcc68063dd1db57ed9b527188ba91492ebda16137f49a918cb733a201a6a7f6b286a9bd0ed1f1575c', 1);
INSERT INTO public._sqlx_migrations VALUES (20, 'terms', '2026-11-22 00:00:00+00', true, '\xcff5d16e63a5936bdc72e2d01bcec79a8aa0840f1de82963a47047731e323714c92ca6e9edfcda2283a6a9a34a16ef0c', 1);
INSERT INTO public.approvals VALUES ('old-pending', '\x01', 'https://idp.example', 'ana', 'ana@example.com', '{"issuer":"https://idp.example","subject":"ana","name":"Ana Analyst","email":"ana@example.com","roles":["analyst"]}', '[{"operation":"threads.create_run","class":"execute","graph":"billing"}]', 'a rule', '["role:manager"]', 1, 'abab', 'cdcd', '{"method":"POST","path":"/threads/t/runs","body":"{}","truncated":false}', 'gate-1', 1763812800000, 1763816400000, 600000, 'pending', NULL, NULL, NULL, NULL, 'request', '{"approvers":["role:manager"],"quorum":1,"valid_seconds":600,"expires_seconds":3600}');
INSERT INTO public.approvals VALUES ('old-approved', '\x02', 'https://idp.example', 'ana', NULL, '{"issuer":"https://idp.example","subject":"ana","roles":[]}', '[{"operation":"store.put","class":"write"}]', 'a rule', '["role:manager"]', 1, 'abab', 'cdce', '{"method":"PUT","path":"/store/items","body":"{}","truncated":true}', 'gate-1', 1763812800000, 1763816400000, 600000, 'approved', 1763812801000, 1763813401000, 'x-old', 1763812802000, 'request', '');
INSERT INTO public.decisions OVERRIDING SYSTEM VALUE VALUES (1, 'old-approved', 'https://idp.example', 'mia', 'Mia', 'mia@example.com', '["manager"]', 'approve', 'fine', 1763812801000, '["role:manager"]');
INSERT INTO public.exchanges VALUES ('x-pending', 'old-pending', '\x01', 1763812800000, NULL);
INSERT INTO public.exchanges VALUES ('x-old', 'old-approved', '\x02', 1763812800000, NULL);
INSERT INTO public.retention VALUES (1, 0);
INSERT INTO public.tree VALUES (1, 0);
SELECT pg_catalog.setval('public.checkpoints_id_seq', 1, false);
SELECT pg_catalog.setval('public.decisions_id_seq', 1, true);
SELECT pg_catalog.setval('public.findings_id_seq', 1, false);
SELECT pg_catalog.setval('public.holds_id_seq', 1, false);
SELECT pg_catalog.setval('public.remarks_id_seq', 1, false);
ALTER TABLE ONLY public._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.approvals
    ADD CONSTRAINT approvals_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.checkpoints
    ADD CONSTRAINT checkpoints_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.cosignatures
    ADD CONSTRAINT cosignatures_pkey PRIMARY KEY (size, witness);
ALTER TABLE ONLY public.decisions
    ADD CONSTRAINT decisions_one_a_person UNIQUE (approval, issuer, subject);
ALTER TABLE ONLY public.decisions
    ADD CONSTRAINT decisions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.exchanges
    ADD CONSTRAINT exchanges_pkey PRIMARY KEY (exchange);
ALTER TABLE ONLY public.findings
    ADD CONSTRAINT findings_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.holds
    ADD CONSTRAINT holds_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.lines
    ADD CONSTRAINT lines_one_a_place UNIQUE (chain, seq);
ALTER TABLE ONLY public.lines
    ADD CONSTRAINT lines_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY public.nodes
    ADD CONSTRAINT nodes_pkey PRIMARY KEY (idx);
ALTER TABLE ONLY public.open_exchanges
    ADD CONSTRAINT open_exchanges_pkey PRIMARY KEY (exchange);
ALTER TABLE ONLY public.progress
    ADD CONSTRAINT progress_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.publications
    ADD CONSTRAINT publications_pkey PRIMARY KEY (target);
ALTER TABLE ONLY public.remarks
    ADD CONSTRAINT remarks_one_a_kind UNIQUE (approval, kind);
ALTER TABLE ONLY public.remarks
    ADD CONSTRAINT remarks_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.retention
    ADD CONSTRAINT retention_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.sign_ins
    ADD CONSTRAINT sign_ins_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.tree
    ADD CONSTRAINT tree_pkey PRIMARY KEY (id);
CREATE INDEX approvals_by_kind ON public.approvals USING btree (kind, created_at) WHERE (kind <> 'request'::text);
CREATE INDEX approvals_by_requester ON public.approvals USING btree (requester_issuer, requester_subject, created_at);
CREATE INDEX approvals_by_state ON public.approvals USING btree (state, created_at);
CREATE UNIQUE INDEX approvals_one_open ON public.approvals USING btree (fingerprint) WHERE ((state = 'pending'::text) OR ((state = 'approved'::text) AND (claimed_by IS NULL)));
CREATE INDEX exchanges_by_approval ON public.exchanges USING btree (approval);
CREATE INDEX lines_by_exchange ON public.lines USING btree (exchange) WHERE (exchange IS NOT NULL);
CREATE INDEX lines_by_time ON public.lines USING btree (at);
CREATE INDEX lines_of_desk ON public.lines USING btree ("position") WHERE (kind = 'desk'::text);
CREATE INDEX lines_with_contents ON public.lines USING btree (kind, at) WHERE (length(line) > 0);
CREATE TRIGGER approvals_are_bound BEFORE UPDATE ON public.approvals FOR EACH ROW WHEN (((new.id IS DISTINCT FROM old.id) OR (new.fingerprint IS DISTINCT FROM old.fingerprint) OR (new.requester_issuer IS DISTINCT FROM old.requester_issuer) OR (new.requester_subject IS DISTINCT FROM old.requester_subject) OR (new.requester IS DISTINCT FROM old.requester) OR (new.operations IS DISTINCT FROM old.operations) OR (new.rule IS DISTINCT FROM old.rule) OR (new.approvers IS DISTINCT FROM old.approvers) OR (new.quorum IS DISTINCT FROM old.quorum) OR (new.policy IS DISTINCT FROM old.policy) OR (new.digest IS DISTINCT FROM old.digest) OR (new.preview IS DISTINCT FROM old.preview) OR (new.created_at IS DISTINCT FROM old.created_at) OR (new.undecided_until IS DISTINCT FROM old.undecided_until) OR (new.valid_ms IS DISTINCT FROM old.valid_ms))) EXECUTE FUNCTION public.refuse();
CREATE TRIGGER approvals_are_kept BEFORE DELETE ON public.approvals FOR EACH ROW EXECUTE FUNCTION public.refuse();
CREATE TRIGGER approvals_are_not_truncated BEFORE TRUNCATE ON public.approvals FOR EACH STATEMENT EXECUTE FUNCTION public.refuse('approvals_are_kept');
CREATE TRIGGER approvals_end_once BEFORE UPDATE ON public.approvals FOR EACH ROW WHEN ((((old.state = ANY (ARRAY['denied'::text, 'expired'::text, 'cancelled'::text])) AND (new.state IS DISTINCT FROM old.state)) OR ((old.state = 'approved'::text) AND (new.state <> ALL (ARRAY['approved'::text, 'expired'::text])) AND (NOT ((old.kind = 'standing'::text) AND (new.state = 'cancelled'::text)))) OR ((old.claimed_by IS NOT NULL) AND (new.claimed_by IS DISTINCT FROM old.claimed_by)) OR ((old.claimable_until IS NOT NULL) AND (new.claimable_until IS DISTINCT FROM old.claimable_until)) OR ((old.kind = 'standing'::text) AND (new.claimed_by IS NOT NULL)))) EXECUTE FUNCTION public.refuse();
CREATE TRIGGER approvals_keep_their_terms BEFORE UPDATE ON public.approvals FOR EACH ROW WHEN (((new.kind IS DISTINCT FROM old.kind) OR (new.asks IS DISTINCT FROM old.asks))) EXECUTE FUNCTION public.refuse('approvals_are_bound');
CREATE TRIGGER checkpoints_are_not_changed BEFORE DELETE OR UPDATE ON public.checkpoints FOR EACH ROW EXECUTE FUNCTION public.refuse('checkpoints_are_append_only');
CREATE TRIGGER checkpoints_are_not_truncated BEFORE TRUNCATE ON public.checkpoints FOR EACH STATEMENT EXECUTE FUNCTION public.refuse('checkpoints_are_append_only');
CREATE TRIGGER decisions_are_not_changed BEFORE DELETE OR UPDATE ON public.decisions FOR EACH ROW EXECUTE FUNCTION public.refuse('decisions_are_append_only');
CREATE TRIGGER decisions_are_not_truncated BEFORE TRUNCATE ON public.decisions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse('decisions_are_append_only');
CREATE TRIGGER findings_are_not_changed BEFORE DELETE OR UPDATE ON public.findings FOR EACH ROW EXECUTE FUNCTION public.refuse('findings_are_append_only');
CREATE TRIGGER findings_are_not_truncated BEFORE TRUNCATE ON public.findings FOR EACH STATEMENT EXECUTE FUNCTION public.refuse('findings_are_append_only');
CREATE TRIGGER holds_are_kept BEFORE DELETE ON public.holds FOR EACH ROW EXECUTE FUNCTION public.refuse('holds_are_kept');
CREATE TRIGGER holds_are_only_released BEFORE UPDATE ON public.holds FOR EACH ROW WHEN (((old.released_at IS NOT NULL) OR (new.released_at IS NULL) OR (new.id IS DISTINCT FROM old.id) OR (new.reason IS DISTINCT FROM old.reason) OR (new.filter IS DISTINCT FROM old.filter) OR (new.placed_at IS DISTINCT FROM old.placed_at))) EXECUTE FUNCTION public.refuse('holds_are_kept');
CREATE TRIGGER lines_are_not_changed BEFORE UPDATE ON public.lines FOR EACH ROW EXECUTE FUNCTION public.let_retention_alone_empty_lines();
CREATE TRIGGER lines_are_not_deleted BEFORE DELETE ON public.lines FOR EACH ROW EXECUTE FUNCTION public.refuse('lines_are_append_only');
CREATE TRIGGER lines_are_not_truncated BEFORE TRUNCATE ON public.lines FOR EACH STATEMENT EXECUTE FUNCTION public.refuse('lines_are_append_only');
CREATE TRIGGER lines_follow_each_other BEFORE INSERT ON public.lines FOR EACH ROW EXECUTE FUNCTION public.refuse_holes_in_lines();
CREATE TRIGGER nodes_are_not_changed BEFORE DELETE OR UPDATE ON public.nodes FOR EACH ROW EXECUTE FUNCTION public.refuse('nodes_are_append_only');
CREATE TRIGGER nodes_are_not_truncated BEFORE TRUNCATE ON public.nodes FOR EACH STATEMENT EXECUTE FUNCTION public.refuse('nodes_are_append_only');
CREATE TRIGGER nodes_follow_each_other BEFORE INSERT ON public.nodes FOR EACH ROW EXECUTE FUNCTION public.refuse_holes_in_nodes();
CREATE TRIGGER remarks_are_not_changed BEFORE DELETE OR UPDATE ON public.remarks FOR EACH ROW EXECUTE FUNCTION public.refuse('remarks_are_append_only');
CREATE TRIGGER remarks_are_not_truncated BEFORE TRUNCATE ON public.remarks FOR EACH STATEMENT EXECUTE FUNCTION public.refuse('remarks_are_append_only');
CREATE TRIGGER tree_is_kept BEFORE DELETE ON public.tree FOR EACH ROW EXECUTE FUNCTION public.refuse('tree_only_grows');
CREATE TRIGGER tree_only_grows BEFORE UPDATE ON public.tree FOR EACH ROW WHEN ((new.size < old.size)) EXECUTE FUNCTION public.refuse();
ALTER TABLE ONLY public.decisions
    ADD CONSTRAINT decisions_approval_fkey FOREIGN KEY (approval) REFERENCES public.approvals(id);
ALTER TABLE ONLY public.exchanges
    ADD CONSTRAINT exchanges_approval_fkey FOREIGN KEY (approval) REFERENCES public.approvals(id);
ALTER TABLE ONLY public.remarks
    ADD CONSTRAINT remarks_approval_fkey FOREIGN KEY (approval) REFERENCES public.approvals(id);
