//! The Merkle tree in the database: grown from the lines, and the checkpoints over it.

use std::collections::HashMap;
use std::sync::LazyLock;

use tlog_tiles::{
    Hash, HashReader, Tile, record_hash, stored_hash_index, stored_hashes_for_record_hash, sub_tree_index,
    tree_hash,
};

use super::Store;
use super::sql::{On, sql};
use crate::error::Error;
use crate::log::LogKey;

/// How many lines one transaction adds to the tree, so that nobody waits long for the writing connection.
const STEP: i64 = 2_000;
/// How many nodes one statement inserts; the rest go one by one.
const ROWS: usize = 64;

static INSERT_MANY: LazyLock<String> =
    LazyLock::new(|| format!("INSERT INTO nodes (idx, hash) VALUES {}", vec!["(?, ?)"; ROWS].join(", ")));

/// A checkpoint that was signed.
#[derive(Debug, Clone)]
pub struct StoredCheckpoint {
    /// How many lines it covers.
    pub size: u64,
    /// The signed note.
    pub note: Vec<u8>,
}

/// Nodes that were read, by index in stored hashes.
#[derive(Debug, Default)]
pub struct Nodes(HashMap<u64, Hash>);

impl Nodes {
    /// One node.
    pub fn at(&self, index: u64) -> Result<Hash, Error> {
        self.0
            .get(&index)
            .copied()
            .ok_or_else(|| Error::Internal(anyhow::anyhow!("a node of the tree is missing")))
    }
}

impl HashReader for Nodes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        indexes
            .iter()
            .map(|index| self.0.get(index).copied().ok_or(tlog_tiles::Error::IndexesNotInTree))
            .collect()
    }
}

/// Finds out which nodes a computation needs: it reads all of them at once, before anything else.
#[derive(Default)]
struct Wanted(std::cell::RefCell<Vec<u64>>);

impl HashReader for Wanted {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        self.0.borrow_mut().extend_from_slice(indexes);
        Ok(vec![Hash::default(); indexes.len()])
    }
}

impl Store {
    /// A signed checkpoint over every line that the ledger holds now: the newest one where nothing was added
    /// since, else a new one.
    pub async fn checkpoint(&self, key: &LogKey, now: i64) -> Result<StoredCheckpoint, Error> {
        let size = self.grow().await?;
        let last = sql("SELECT size, note FROM checkpoints ORDER BY id DESC LIMIT 1")
            .fetch_optional(&mut self.reader().await?)
            .await?;
        if let Some(row) = last
            && row.get::<i64>("size")? == size
        {
            let note: Vec<u8> = row.get("note")?;
            // A new key signs anew.
            if crate::log::PublicKey::parse(key.public()).and_then(|public| public.checkpoint(&note)).is_ok()
            {
                return Ok(StoredCheckpoint { size: unsigned(size), note });
            }
        }
        let nodes = self.nodes(&sub_tree_index(0, unsigned(size), Vec::new())).await?;
        let root = tree_hash(unsigned(size), &nodes).map_err(internal)?;
        let note = key.checkpoint(unsigned(size), root).map_err(Error::Internal)?;
        let mut tx = self.begin().await?;
        sql("INSERT INTO checkpoints (size, at, note) VALUES (?, ?, ?)")
            .bind(size)
            .bind(now)
            .bind(&note)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(StoredCheckpoint { size: unsigned(size), note })
    }

    /// Proof that the tree of `old` lines is the beginning of the tree of `new` lines (RFC 6962, section 2.1.2).
    pub async fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, Error> {
        let wanted = Wanted::default();
        tlog_tiles::prove_tree(new, old, &wanted).map_err(internal)?;
        let nodes = self.nodes(&wanted.0.into_inner()).await?;
        tlog_tiles::prove_tree(new, old, &nodes).map_err(internal)
    }

    /// The checkpoint with the signatures of its witnesses.
    pub async fn cosigned(&self, checkpoint: &StoredCheckpoint) -> Result<Vec<u8>, Error> {
        let mut note = checkpoint.note.clone();
        for line in self.cosignatures(checkpoint.size).await? {
            note.extend_from_slice(line.as_bytes());
            note.push(b'\n');
        }
        Ok(note)
    }

    /// How many lines are in the tree; lines may be waiting to be added.
    pub async fn tree_size(&self) -> Result<u64, Error> {
        Ok(unsigned(sql("SELECT size FROM tree").scalar(&mut self.reader().await?).await?))
    }

    /// The hashes of a tile, which the tree has to have.
    pub async fn tile(&self, tile: &Tile) -> Result<Vec<u8>, Error> {
        let wanted = Wanted::default();
        tile.read_data(&wanted).map_err(internal)?;
        let nodes = self.nodes(&wanted.0.into_inner()).await?;
        tile.read_data(&nodes).map_err(internal)
    }

    /// Nodes of the tree.
    pub async fn nodes(&self, indexes: &[u64]) -> Result<Nodes, Error> {
        let mut connection = self.reader().await?;
        read_nodes(&mut connection, indexes).await
    }

    /// Adds every line that is not in the tree yet. Returns how many are in it then.
    pub(super) async fn grow(&self) -> Result<i64, Error> {
        loop {
            let row =
                sql("SELECT (SELECT size FROM tree), (SELECT coalesce(max(position), -1) + 1 FROM lines)")
                    .fetch_one(&mut self.reader().await?)
                    .await?;
            let (size, lines): (i64, i64) = (row.at(0)?, row.at(1)?);
            if size >= lines {
                return Ok(size);
            }
            self.grow_a_step().await?;
        }
    }

    async fn grow_a_step(&self) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let size: i64 = sql("SELECT size FROM tree").scalar(&mut tx).await?;
        let lines = sql("SELECT line FROM lines WHERE position >= ? ORDER BY position LIMIT ?")
            .bind(size)
            .bind(STEP)
            .fetch_all(&mut tx)
            .await?;
        let lines: Vec<Vec<u8>> = lines.iter().map(|row| row.at(0)).collect::<Result<_, _>>()?;
        let start = unsigned(size);
        let mut nodes = read_nodes(&mut tx, &sub_tree_index(0, start, Vec::new())).await?;
        let mut fresh: Vec<(u64, Hash)> = Vec::with_capacity(lines.len() * 2);
        for (n, line) in (start..).zip(&lines) {
            let hashes = stored_hashes_for_record_hash(n, record_hash(line), &nodes).map_err(internal)?;
            for (index, hash) in (stored_hash_index(0, n)..).zip(hashes) {
                nodes.0.insert(index, hash);
                fresh.push((index, hash));
            }
        }
        let (chunks, rest) = fresh.as_chunks::<ROWS>();
        for chunk in chunks {
            let mut query = sql(INSERT_MANY.as_str());
            for (index, hash) in chunk {
                query = query.bind(signed(*index)).bind(hash.0.as_slice());
            }
            query.execute(&mut tx).await?;
        }
        for (index, hash) in rest {
            sql("INSERT INTO nodes (idx, hash) VALUES (?, ?)")
                .bind(signed(*index))
                .bind(hash.0.as_slice())
                .execute(&mut tx)
                .await?;
        }
        sql("UPDATE tree SET size = ?").bind(signed(start + lines.len() as u64)).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn read_nodes(connection: &mut impl On, indexes: &[u64]) -> Result<Nodes, Error> {
    let mut nodes = Nodes::default();
    for index in indexes {
        let hash: Option<Vec<u8>> =
            sql("SELECT hash FROM nodes WHERE idx = ?").bind(signed(*index)).first(connection).await?;
        let hash: Option<[u8; 32]> = hash.and_then(|hash| hash.try_into().ok());
        let hash = hash.ok_or_else(|| Error::Internal(anyhow::anyhow!("a node of the tree is missing")))?;
        nodes.0.insert(*index, Hash(hash));
    }
    Ok(nodes)
}

fn internal(error: tlog_tiles::Error) -> Error {
    Error::Internal(error.into())
}

fn unsigned(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}

fn signed(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}
