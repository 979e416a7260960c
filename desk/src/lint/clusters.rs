//! Rules about clusters: those that the policy's callouts name are there.

use super::Findings;
use super::rule::UNKNOWN_CLUSTER;
use super::scene::{Form, Scene};
use graphwarden_trial::Found;
use graphwarden_trial::yaml::Node;

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings<'_>) {
    if !scene.clusters_complete {
        return;
    }
    for gate in scene.gates.iter().filter(|gate| gate.form == Form::Envoy) {
        let Some(found) = &gate.policy else { continue };
        for cluster in named_by(found) {
            let name = cluster.text().unwrap_or_default();
            if name.is_empty() || scene.clusters.contains_key(name) {
                continue;
            }
            let place = if found.is_exact() { cluster.place } else { found.tree().place };
            let note = findings.add(&UNKNOWN_CLUSTER, place, format!("no cluster `{name}` is defined"));
            let nearest = scene
                .clusters
                .keys()
                .map(|known| (known, strsim::jaro_winkler(known, name)))
                .filter(|(_, likeness)| *likeness > 0.75)
                .max_by(|(_, a), (_, b)| a.total_cmp(b));
            if let Some((known, _)) = nearest {
                note.mend(format!("`{known}` is defined: it may be meant; else define `{name}`"));
            }
        }
    }
}

/// Every cluster that a policy's callouts go to.
pub(super) fn named_by(found: &Found) -> Vec<&Node> {
    let tree = found.tree();
    let issuers = tree.list("identity.issuers").iter();
    let asked =
        issuers.flat_map(|issuer| [issuer.at("keys.cluster"), issuer.at("introspection.cluster")]).flatten();
    asked
        .chain(
            ["operations.lookups.cluster", "approvals.cluster", "evidence.cluster"]
                .iter()
                .filter_map(|path| tree.at(path)),
        )
        .collect()
}
