//! What the page's script calls.

use wasm_bindgen::prelude::wasm_bindgen;

use crate::table::Table;

fn read(table: &str) -> Result<Table, String> {
    serde_json::from_str(table).map_err(|error| error.to_string())
}

/// [`crate::examples`], as JSON in a string.
#[wasm_bindgen]
pub fn examples() -> String {
    crate::examples().to_string()
}

/// [`crate::judge`], as JSON in a string; `table` is a [`Table`] in one.
#[wasm_bindgen]
pub fn judge(table: &str) -> Result<String, String> {
    read(table).map(|table| crate::judge(&table).to_string())
}

/// [`crate::Replay`].
#[wasm_bindgen]
#[derive(Debug)]
pub struct Replay(crate::Replay);

#[wasm_bindgen]
impl Replay {
    /// Makes a response ready.
    #[wasm_bindgen(constructor)]
    pub fn new(table: &str, piece: usize) -> Result<Replay, String> {
        crate::Replay::new(&read(table)?, piece).map(Self)
    }

    /// How many steps there are.
    pub fn steps(&self) -> usize {
        self.0.steps()
    }

    /// How things stand after so many steps, as JSON in a string.
    pub fn at(&self, step: usize) -> String {
        self.0.at(step).to_string()
    }
}
