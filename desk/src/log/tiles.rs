//! The log's hashes as tiles (C2SP tlog-tiles): `tile/<level>/<n>[.p/<width>]`, 256 hashes of a level a tile.

use tlog_tiles::Tile;

/// The highest level that a tree of 2⁶⁴ lines has tiles of.
const HIGHEST: u8 = 7;

/// The path of a tile in the layout of C2SP tlog-tiles, whose tiles are all of height 8.
pub fn tile_path(tile: &Tile) -> String {
    tile.path().replacen("tile/8/", "tile/", 1)
}

/// The tile behind `<level>/<n>[.p/<width>]`, where a tree of `size` lines has it.
pub fn tile_at(path: &str, size: u64) -> Option<Tile> {
    // The library's own reading of paths stops with a panic at levels and widths that no tile has.
    let (level, _) = path.split_once('/')?;
    let width = path.rsplit_once(".p/").map_or(Some(1), |(_, width)| width.parse::<u32>().ok())?;
    if level.parse::<u8>().ok()? > HIGHEST || width == 0 {
        return None;
    }
    let tile = Tile::from_path(&format!("tile/8/{path}")).ok()?;
    let shift = u32::from(tile.level()).checked_mul(8)?;
    let of_level = if shift >= 64 { 0 } else { size >> shift };
    let end = tile.level_index().checked_mul(256)?.checked_add(u64::from(tile.width()))?;
    (!tile.is_data() && end <= of_level).then_some(tile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_found_where_the_tree_has_them() {
        for (path, size) in
            [("0/000", 256), ("0/000.p/5", 5), ("0/x001/234", 1_235 * 256), ("1/000.p/1", 256)]
        {
            let tile = tile_at(path, size).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(tile_path(&tile), format!("tile/{path}"));
            assert!(tile_at(path, size - 1).is_none(), "{path} of a smaller tree");
        }
        for path in [
            "",
            "0",
            "0/",
            "0/000.p/0",
            "0/000.p/256",
            "0/../key",
            "8/000",
            "64/000.p/1",
            "255/000",
            "0/000.p/00",
            "data/000",
            "0/0",
            "-1/000",
        ] {
            assert!(tile_at(path, 1 << 40).is_none(), "{path}");
        }
    }
}
