//! Signing in from a terminal at a real provider (RFC 8628), and deciding with the token that comes of it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::{Desk, OidcProvider, Site, free_port, run};

fn approvals(site: &Site, desk: &Desk, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(site.tools().program()?);
    command
        .args(["approvals", "--desk", &desk.url()])
        .args(arguments)
        .env("XDG_CONFIG_HOME", site.folder().join("config"))
        .env_remove("GRAPHWARDEN_APPROVER_TOKEN")
        .stdin(Stdio::null());
    Ok(command)
}

#[test]
fn a_person_signs_in_by_device_code_and_the_token_is_kept_for_them_alone() {
    run("device", async |site: &Site| {
        let provider = OidcProvider::start(site).await?;
        let desk = Desk::start_with(free_port()?, site, provider.url(), |command| {
            command.args(["--client-id", "terminal"]);
        })
        .await?;
        let before = approvals(site, &desk, &["list"])?.output()?;
        ensure!(
            !before.status.success() && String::from_utf8_lossy(&before.stderr).contains("approvals login")
        );

        let mut login = approvals(
            site,
            &desk,
            &[
                "login",
                "--issuer",
                provider.url(),
                "--client-id",
                "terminal",
                "--scope",
                "profile,email,offline_access",
            ],
        )?;
        let mut child = login.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let place =
            line.trim().strip_prefix("Open ").with_context(|| format!("no place: {line}"))?.to_owned();
        ensure!(place.starts_with(provider.url()) && place.contains("user_code="), "{place}");
        // The person takes their time; the program waits meanwhile.
        tokio::time::sleep(Duration::from_millis(500)).await;
        provider.allow_device(&place, "mia").await?;
        let status =
            tokio::task::spawn_blocking(move || child.wait().map(|status| (status, child))).await??;
        let mut wrong = String::new();
        if let Some(mut stderr) = {
            let mut child = status.1;
            child.stderr.take()
        } {
            stderr.read_to_string(&mut wrong)?;
        }
        ensure!(status.0.success(), "{wrong}");

        let path = site.folder().join("config/graphwarden/sign-in.json");
        ensure!(std::fs::metadata(&path)?.permissions().mode() & 0o777 == 0o600, "others can read the token");
        let listed = approvals(site, &desk, &["list"])?.output()?;
        let text =
            format!("{}{}", String::from_utf8_lossy(&listed.stdout), String::from_utf8_lossy(&listed.stderr));
        ensure!(listed.status.success() && text.contains("nothing is pending"), "{text}");

        // A token that has ended is renewed by itself.
        let kept = std::fs::read_to_string(&path)?;
        let mut all: serde_json::Value = serde_json::from_str(&kept)?;
        let one = all.as_object_mut().and_then(|all| all.values_mut().next()).context("nobody")?;
        ensure!(one["refresh"].is_string(), "no refresh token");
        one["ends"] = serde_json::json!(1);
        let ended = all.to_string();
        std::fs::write(&path, &ended)?;
        let listed = approvals(site, &desk, &["list"])?.output()?;
        ensure!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        ensure!(std::fs::read_to_string(&path)? != ended, "it was not renewed");

        ensure!(approvals(site, &desk, &["logout"])?.output()?.status.success());
        ensure!(!approvals(site, &desk, &["list"])?.output()?.status.success(), "still signed in");
        Ok(())
    });
}

#[test]
fn a_person_who_refuses_is_not_signed_in() {
    run("device_refused", async |site: &Site| {
        let provider = OidcProvider::start(site).await?;
        let desk = Desk::start(site, provider.url()).await?;
        // A client that may not use the device flow.
        let login = approvals(site, &desk, &["login", "--issuer", provider.url(), "--client-id", "console"])?
            .output()?;
        let text = String::from_utf8_lossy(&login.stderr).into_owned();
        ensure!(login.status.code() == Some(1) && text.contains("begins no sign-in"), "{text}");
        let login = approvals(site, &desk, &["login", "--issuer", "http://127.0.0.1:9"])?.output()?;
        ensure!(login.status.code() == Some(1), "signed in at nobody");
        Ok(())
    });
}
