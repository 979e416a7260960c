//! What the desk hands to others, as their own programs see it: an S3 server with object lock that keeps checkpoints and
//! the archive.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_policies::evidence::{Chain, Kind, Record};
use graphwarden_stand::{Ask, Desk, GATEWAY_TOKEN, Part, Site, free_port, run, unix_now, wait_until};
use serde_json::Value;

/// Runs a program of the virtual environment to its end; what it printed.
fn told(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// An S3 server (moto) with a bucket that is under object lock.
struct Bucket<'a> {
    site: &'a Site,
    port: u16,
    _port: graphwarden_stand::Port,
    _part: Part,
}

impl<'a> Bucket<'a> {
    async fn start(site: &'a Site) -> Result<Self> {
        let port = free_port()?;
        let number = port.number();
        let mut command = Command::new(site.tools().python()?);
        command.arg(site.tools().root().join("tests/e2e/python/s3.py")).arg(number.to_string());
        let mut part = Part::start("s3", site.folder(), &command)?;
        part.ready(Duration::from_secs(60), async || Ask::get("/moto-api/").send(number).await.is_ok())
            .await?;
        let bucket = Self { site, port: number, _port: port, _part: part };
        bucket.script("make")?;
        Ok(bucket)
    }

    fn script(&self, what: &str) -> Result<Value> {
        let script = self.site.tools().root().join("tests/e2e/python/bucket.py");
        let mut command = Command::new(self.site.tools().python()?);
        Ok(serde_json::from_str(&told(command.arg(script).args([&self.port.to_string(), what]))?)?)
    }

    /// The newest bodies of the objects whose names begin so, in the order of their names.
    fn bodies(&self, prefix: &str) -> Result<Vec<String>> {
        let read = self.script("read")?;
        let mut found: Vec<(String, String)> = Vec::new();
        for version in read["versions"].as_array().context("no versions")? {
            let (key, body) = (version["key"].as_str(), version["body"].as_str());
            if let (Some(key), Some(body)) = (key, body)
                && key.starts_with(prefix)
                && !found.iter().any(|(known, _)| known == key)
            {
                found.push((key.to_owned(), body.to_owned()));
            }
        }
        found.sort();
        Ok(found.into_iter().map(|(_, body)| body).collect())
    }
}

/// The size that a checkpoint speaks of (C2SP tlog-checkpoint).
fn size(checkpoint: &str) -> Result<u64> {
    Ok(checkpoint.lines().nth(1).context("no size")?.parse()?)
}

#[test]
fn a_bucket_under_object_lock_keeps_checkpoints_from_the_desks_owner() {
    run("bucket", async |site: &Site| {
        let bucket = Bucket::start(site).await?;
        let config = site.write(
            "desk.yaml",
            "publish: { bucket: \"s3://evidence/gate\", archive: \"s3://evidence/archive\" }\n",
        )?;
        let mut desk = Desk::start_told(site, "https://idp.example", |command| {
            command
                .arg("--config")
                .arg(config)
                .env("AWS_ENDPOINT", format!("http://127.0.0.1:{}", bucket.port))
                .env("AWS_ALLOW_HTTP", "true")
                .env("AWS_REGION", "us-east-1")
                .env("AWS_ACCESS_KEY_ID", "tests")
                .env("AWS_SECRET_ACCESS_KEY", "tests");
        })
        .await?;
        let kept = |count: usize| {
            let bucket = &bucket;
            async move {
                wait_until(&format!("{count} checkpoints"), Duration::from_secs(20), async || {
                    bucket.bodies("gate/checkpoints/").is_ok_and(|kept| kept.len() >= count)
                })
                .await
            }
        };
        // The desk publishes when it starts, and every minute.
        kept(1).await?;
        let mut chain = Chain::new("one".to_owned());
        let mut lines = Vec::new();
        for index in 0..300 {
            let record = Record::new(Kind::Outcome, &format!("x{index}"), "gate", unix_now() * 1_000_000);
            lines.push(chain.seal(&record)?.bytes);
        }
        let ask = Ask::new("POST", "/v1/evidence")
            .bearer(GATEWAY_TOKEN)
            .header("content-type", "application/x-ndjson")
            .body(lines.join(&b'\n'));
        ask.send(desk.port()).await?.expect_status(200)?;
        desk.kill();
        desk.resume().await?;
        kept(2).await?;
        wait_until("the archive", Duration::from_secs(20), async || {
            bucket
                .bodies("archive/checkpoint")
                .is_ok_and(|found| found.iter().any(|text| size(text).is_ok_and(|size| size > 300)))
        })
        .await?;

        // Who holds the bucket's credentials takes nothing back.
        let before = bucket.script("read")?;
        let attacked = bucket.script("attack")?;
        let said = attacked["said"].as_array().context("nothing was tried")?;
        ensure!(said.len() >= 9, "{said:?}");
        for one in said {
            ensure!(
                one["code"] == "AccessDenied"
                    || (one["attempt"] == "overwrite" && one["code"] == "PreconditionFailed"),
                "{one}"
            );
        }
        ensure!(attacked["versions"] == before["versions"], "the attack changed something");
        ensure!(
            before["versions"]
                .as_array()
                .is_some_and(|all| all.iter().all(|one| one["lock"] == "COMPLIANCE")),
            "{before}"
        );

        // The archive holds the lines, and the export is consistent with the checkpoint that the bucket kept.
        let bundles = bucket.bodies("archive/tile/lines/")?;
        ensure!(bundles.len() == 1 && bundles[0].lines().count() == 256, "{} bundles", bundles.len());
        let key = bucket.bodies("archive/key")?.concat();
        let checkpoints = bucket.bodies("gate/checkpoints/")?;
        ensure!(size(&checkpoints[0])? < size(&checkpoints[1])?, "{checkpoints:?}");
        let (zip, since) = (site.folder().join("all.zip"), site.write("since", &checkpoints[0])?);
        let program = site.tools().program()?;
        let mut export = Command::new(&program);
        export.args(["export", "--database"]).arg(site.folder().join("desk.db")).arg("--out").arg(&zip);
        told(export.arg("--since").arg(&since))?;
        let mut verify = Command::new(&program);
        verify.arg("verify").arg(&zip).args(["--key", key.trim()]).arg("--since").arg(&since);
        told(&mut verify)?;
        // Nobody can have handed that checkpoint out for another log.
        let mut lines: Vec<String> = checkpoints[0].lines().map(str::to_owned).collect();
        lines[1] = (size(&checkpoints[0])? + 1).to_string();
        let forged = site.write("forged", lines.join("\n") + "\n")?;
        let mut verify = Command::new(&program);
        verify.arg("verify").arg(&zip).args(["--key", key.trim()]).arg("--since").arg(&forged);
        ensure!(!verify.output()?.status.success(), "a forged checkpoint was believed");
        Ok(())
    });
}
