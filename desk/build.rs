//! Builds the program again when a migration is added: `sqlx::migrate!` alone only sees the files it knows.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
