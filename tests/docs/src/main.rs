//! Prints the policy reference.

fn main() -> anyhow::Result<()> {
    print!("{}", graphwarden_docs::reference::page()?);
    Ok(())
}
