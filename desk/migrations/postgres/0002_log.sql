-- The Merkle log over the lines (RFC 6962): the hashes of complete subtrees, in the order of tlog-tiles'
-- stored hashes, how many lines they cover, and the signed checkpoints (C2SP tlog-checkpoint).

CREATE TABLE nodes (
    idx  BIGINT NOT NULL PRIMARY KEY,
    hash BYTEA  NOT NULL
);

CREATE TABLE tree (
    id   BIGINT NOT NULL PRIMARY KEY CONSTRAINT tree_is_one CHECK (id = 1),
    size BIGINT NOT NULL
);
INSERT INTO tree (id, size) VALUES (1, 0);

CREATE TRIGGER tree_only_grows BEFORE UPDATE ON tree FOR EACH ROW
WHEN (NEW.size < OLD.size) EXECUTE FUNCTION refuse();
CREATE TRIGGER tree_is_kept BEFORE DELETE ON tree FOR EACH ROW EXECUTE FUNCTION refuse('tree_only_grows');
CREATE FUNCTION refuse_holes_in_nodes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.idx IS DISTINCT FROM (SELECT coalesce(max(idx), -1) + 1 FROM nodes) THEN
        RAISE EXCEPTION 'nodes_are_append_only' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER nodes_follow_each_other BEFORE INSERT ON nodes FOR EACH ROW
EXECUTE FUNCTION refuse_holes_in_nodes();
CREATE TRIGGER nodes_are_not_changed BEFORE UPDATE OR DELETE ON nodes FOR EACH ROW
EXECUTE FUNCTION refuse('nodes_are_append_only');
CREATE TRIGGER nodes_are_not_truncated BEFORE TRUNCATE ON nodes
EXECUTE FUNCTION refuse('nodes_are_append_only');

CREATE TABLE checkpoints (
    id   BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    size BIGINT NOT NULL,
    at   BIGINT NOT NULL,
    note BYTEA  NOT NULL
);
CREATE TRIGGER checkpoints_are_not_changed BEFORE UPDATE OR DELETE ON checkpoints FOR EACH ROW
EXECUTE FUNCTION refuse('checkpoints_are_append_only');
CREATE TRIGGER checkpoints_are_not_truncated BEFORE TRUNCATE ON checkpoints
EXECUTE FUNCTION refuse('checkpoints_are_append_only');
