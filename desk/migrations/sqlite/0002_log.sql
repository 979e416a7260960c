-- The Merkle log over the lines (RFC 6962): the hashes of complete subtrees, in the order of tlog-tiles'
-- stored hashes, how many lines they cover, and the signed checkpoints (C2SP tlog-checkpoint).

CREATE TABLE nodes (
    idx  INTEGER NOT NULL PRIMARY KEY,
    hash BLOB    NOT NULL
) STRICT;

CREATE TABLE tree (
    id   INTEGER NOT NULL PRIMARY KEY CONSTRAINT tree_is_one CHECK (id = 1),
    size INTEGER NOT NULL
) STRICT;
INSERT INTO tree (id, size) VALUES (1, 0);

CREATE TRIGGER tree_only_grows BEFORE UPDATE ON tree WHEN NEW.size < OLD.size
BEGIN SELECT RAISE(ABORT, 'tree_only_grows'); END;
CREATE TRIGGER nodes_are_not_replaced BEFORE INSERT ON nodes
WHEN NEW.idx IS NOT (SELECT coalesce(max(idx), -1) + 1 FROM nodes)
BEGIN SELECT RAISE(ABORT, 'nodes_are_append_only'); END;
CREATE TRIGGER nodes_are_not_changed BEFORE UPDATE ON nodes
BEGIN SELECT RAISE(ABORT, 'nodes_are_append_only'); END;
CREATE TRIGGER nodes_are_not_deleted BEFORE DELETE ON nodes
BEGIN SELECT RAISE(ABORT, 'nodes_are_append_only'); END;

CREATE TABLE checkpoints (
    id   INTEGER NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL,
    at   INTEGER NOT NULL,
    note BLOB    NOT NULL
) STRICT;
CREATE TRIGGER checkpoints_are_not_changed BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints_are_append_only'); END;
CREATE TRIGGER checkpoints_are_not_deleted BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints_are_append_only'); END;
